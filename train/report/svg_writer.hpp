// Writes the SVG of a chart: escaped texts, numbers with at most two decimals, looks by class name (see
// style.cpp).
#pragma once

#include <string>
#include <string_view>

namespace rmoe::report {

/// Plain text for HTML and SVG, between tags and in attributes. Control characters become spaces.
std::string escaped(std::string_view text);
/// A coordinate: "1.5", "-2", "0.33".
std::string coordinate(double value);

struct Box {
  double left, top, right, bottom;
  double width() const { return right - left; }
  double height() const { return bottom - top; }
};

class Path {
 public:
  void move(double x, double y) { add('M', x, y); }
  void line(double x, double y) { add('L', x, y); }
  /// A line, or a move if the pen is up.
  void draw(double x, double y) { add(up_ ? 'M' : 'L', x, y); }
  void lift() { up_ = true; }
  void close() { d_ += 'Z', up_ = true; }
  bool empty() const { return d_.empty(); }
  const std::string& d() const { return d_; }

 private:
  void add(char command, double x, double y);
  std::string d_;
  bool up_ = true;
};

class Svg {
 public:
  void line(double x1, double y1, double x2, double y2, std::string_view look);
  void rect(const Box& box, std::string_view look, std::string_view tooltip = {});
  void path(const Path& path, std::string_view look, std::string_view tooltip = {});
  void text(double x, double y, std::string_view text, std::string_view look = {},
            std::string_view tooltip = {});

  /// Upwards: (x, y) is where it ends.
  void text_up(double x, double y, std::string_view text, std::string_view look,
               std::string_view tooltip = {});

  /// Everything drawn while it lives is inside: a look that marks inherit.
  class Group {
   public:
    ~Group() { svg_.out_ += "</g>\n"; }
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

   private:
    friend Svg;
    Group(Svg& svg, std::string_view look) : svg_(svg) { svg_.open("g", look, {}, ">"); }
    Svg& svg_;
  };
  [[nodiscard]] Group group(std::string_view look) { return {*this, look}; }
  /// Cuts off what is drawn outside `box`, from here to end_clip().
  void clip(const Box& box);
  void end_clip() { out_ += "</svg>\n"; }

  /// The whole picture. It grows with its place on the page, but little: its text must not outgrow the
  /// page's.
  std::string finish(double width, double height, std::string_view look, std::string_view label) const;

 private:
  void open(std::string_view tag, std::string_view look, std::string_view attributes, std::string_view end);
  void write(std::string_view attributes, std::string_view text, std::string_view look,
             std::string_view tooltip);
  void mark(std::string_view tag, std::string_view look, std::string_view attributes,
            std::string_view tooltip);
  std::string out_;
};

}  // namespace rmoe::report
