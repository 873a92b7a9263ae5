#include "train/report/svg_writer.hpp"

#include <fmt/format.h>

namespace rmoe::report {
namespace {

// Pixels: a small drawing (264) fills a phone, no text outgrows the page's.
constexpr double kGrowth = 70;

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
    }
  }
  return out;
}

std::string coordinate(double value) {
  std::string text = fmt::format("{:.2f}", value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

void Path::add(char command, double x, double y) {
  d_ += fmt::format("{}{} {}", command, coordinate(x), coordinate(y));
  up_ = false;
}

void Svg::open(std::string_view tag, std::string_view look, std::string_view attributes,
               std::string_view end) {
  out_ += fmt::format("<{}", tag);
  if (!look.empty()) out_ += fmt::format(" class=\"{}\"", look);
  out_ += attributes;
  out_ += end;
}

void Svg::mark(std::string_view tag, std::string_view look, std::string_view attributes,
               std::string_view tooltip) {
  open(tag, look, attributes, tooltip.empty() ? "/>\n" : ">");
  if (!tooltip.empty()) out_ += fmt::format("<title>{}</title></{}>\n", escaped(tooltip), tag);
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view look) {
  mark("line", look,
       fmt::format(R"( x1="{}" y1="{}" x2="{}" y2="{}")", coordinate(x1), coordinate(y1), coordinate(x2),
                   coordinate(y2)),
       {});
}

void Svg::rect(const Box& box, std::string_view look, std::string_view tooltip) {
  mark("rect", look,
       fmt::format(R"( x="{}" y="{}" width="{}" height="{}")", coordinate(box.left), coordinate(box.top),
                   coordinate(box.width()), coordinate(box.height())),
       tooltip);
}

void Svg::path(const Path& path, std::string_view look, std::string_view tooltip) {
  if (!path.empty()) mark("path", look, fmt::format(" d=\"{}\"", path.d()), tooltip);
}

void Svg::write(std::string_view attributes, std::string_view text, std::string_view look,
                std::string_view tooltip) {
  open("text", look, attributes, ">");
  if (!tooltip.empty()) out_ += fmt::format("<title>{}</title>", escaped(tooltip));
  out_ += escaped(text) + "</text>\n";
}

void Svg::text(double x, double y, std::string_view text, std::string_view look, std::string_view tooltip) {
  write(fmt::format(R"( x="{}" y="{}")", coordinate(x), coordinate(y)), text, look, tooltip);
}

void Svg::text_up(double x, double y, std::string_view text, std::string_view look,
                  std::string_view tooltip) {
  const auto at = fmt::format("{} {}", coordinate(x), coordinate(y));
  write(fmt::format(" transform=\"translate({}) rotate(-90)\"", at), text, look, tooltip);
}

void Svg::clip(const Box& box) {
  const std::string x = coordinate(box.left), y = coordinate(box.top), width = coordinate(box.width()),
                    height = coordinate(box.height());
  out_ += fmt::format("<svg x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\" viewBox=\"{0} {1} {2} {3}\">\n",
                      x, y, width, height);
}

std::string Svg::finish(double width, double height, std::string_view look, std::string_view label) const {
  return fmt::format(
      "<svg class=\"chart {}\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" "
      "style=\"max-width:{}px\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
      look, coordinate(width), coordinate(height), coordinate(width), coordinate(height),
      coordinate(width + kGrowth), escaped(label), out_);
}

}  // namespace rmoe::report
