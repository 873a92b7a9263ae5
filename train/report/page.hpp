// A report: one HTML file that needs nothing else: no network, no scripts, no fonts. Reads on a phone, on
// paper, in the dark. All texts are plain; the page escapes them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rmoe::report {

/// The first column names the row and stands left; the others are numbers and stand right.
struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows = {};
  std::vector<std::string> groups =
      {};  // above the header, one per column; equal neighbours join, "" stays blank
};

class Page {
 public:
  Page(std::string_view title, std::string_view subtitle);

  void heading(std::string_view text);
  void paragraph(std::string_view text);
  void note(std::string_view text);
  /// What svg() made, side by side while there is room.
  void figures(const std::vector<std::string>& svgs, std::string_view caption);
  void table(const Table& table, std::string_view caption);

  std::string html() const;

 private:
  std::string title_, body_;
};

}  // namespace rmoe::report
