#include "train/report/page.hpp"

#include "engine/error.hpp"
#include "train/report/style.hpp"
#include "train/report/svg_writer.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace rmoe::report {
namespace {

/// Pixels that a chart wants at least: the width of its first drawing, the narrow one.
int natural_width(std::string_view svg) {
  const std::string_view key = " width=\"";
  const size_t at = svg.find(key);
  RMOE_CHECK(svg.starts_with("<svg") && at != svg.npos, "page: a figure is what svg() returns");
  int width = 0;
  std::from_chars(svg.data() + at + key.size(), svg.data() + svg.size(), width);
  return width;
}

std::string row_of_places(const std::vector<std::string>& svgs, size_t first, size_t count, int least) {
  std::string html = fmt::format("<div class=\"row\" style=\"--least:{}px\">\n", least);
  for (size_t i = first; i < first + count; ++i) html += "<div class=\"place\">\n" + svgs[i] + "</div>\n";
  return html + "</div>\n";
}

std::string group_row(const std::vector<std::string>& groups) {
  std::string html = "<tr class=\"groups\">";
  for (size_t first = 0, next; first < groups.size(); first = next) {
    for (next = first + 1; next < groups.size() && groups[next] == groups[first] && !groups[first].empty();)
      ++next;
    if (groups[first].empty())
      html += "<td></td>";
    else
      html += fmt::format("<th scope=\"colgroup\" colspan=\"{}\"><span>{}</span></th>", next - first,
                          escaped(groups[first]));
  }
  return html + "</tr>\n";
}

std::string body_row(const std::vector<std::string>& row) {
  std::string html = "<tr>";
  for (size_t c = 0; c < row.size(); ++c) {
    if (c == 0)
      html += fmt::format("<th scope=\"row\">{}</th>", escaped(row[c]));
    else if (row[c].empty())
      html += "<td class=\"missing\">–</td>";
    else
      html += fmt::format("<td>{}</td>", escaped(row[c]));
  }
  return html + "</tr>\n";
}

}  // namespace

Page::Page(std::string_view title, std::string_view subtitle) : title_(escaped(title)) {
  body_ = fmt::format("<header>\n<h1>{}</h1>\n", title_);
  if (!subtitle.empty()) body_ += fmt::format("<p class=\"subtitle\">{}</p>\n", escaped(subtitle));
  body_ += "</header>\n";
}

void Page::heading(std::string_view text) { body_ += fmt::format("<h2>{}</h2>\n", escaped(text)); }

void Page::paragraph(std::string_view text) { body_ += fmt::format("<p>{}</p>\n", escaped(text)); }

void Page::note(std::string_view text) { body_ += fmt::format("<p class=\"note\">{}</p>\n", escaped(text)); }

void Page::figures(const std::vector<std::string>& svgs, std::string_view caption) {
  int least = 0;
  for (const std::string& svg : svgs) least = std::max(least, natural_width(svg));
  body_ += "<figure>\n";
  // Pairs of pairs: where four do not fit, they wrap to two and two, not to three and one.
  const bool pairs = svgs.size() > 2 && svgs.size() % 2 == 0;
  if (pairs) {
    constexpr int kGap = 24;  // as in the style sheet
    body_ += fmt::format("<div class=\"row\" style=\"--least:{}px\">\n", 2 * least + kGap);
    for (size_t i = 0; i < svgs.size(); i += 2) body_ += row_of_places(svgs, i, 2, least);
    body_ += "</div>\n";
  } else {
    body_ += row_of_places(svgs, 0, svgs.size(), least);
  }
  if (!caption.empty()) body_ += fmt::format("<figcaption>{}</figcaption>\n", escaped(caption));
  body_ += "</figure>\n";
}

void Page::table(const Table& table, std::string_view caption) {
  RMOE_CHECK(table.groups.empty() || table.groups.size() == table.header.size(),
             "table: ", table.groups.size(), " groups for ", table.header.size(), " columns");
  // A box that scrolls has to be within reach of the keyboard, and so needs a name.
  body_ += fmt::format("<div class=\"table\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n<table>\n",
                       escaped(caption.empty() ? "table" : caption));
  if (!caption.empty()) body_ += fmt::format("<caption><span>{}</span></caption>\n", escaped(caption));
  body_ += "<thead>\n";
  if (!table.groups.empty()) body_ += group_row(table.groups);
  body_ += "<tr>";
  for (const std::string& name : table.header)
    body_ += fmt::format("<th scope=\"col\">{}</th>", escaped(name));
  body_ += "</tr>\n</thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    RMOE_CHECK(row.size() == table.header.size(), "table: a row of ", row.size(), " cells under ",
               table.header.size(), " columns");
    body_ += body_row(row);
  }
  body_ += "</tbody>\n</table>\n</div>\n";
}

std::string Page::html() const {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n"
      "<style>\n{}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
      title_, style_sheet(), body_);
}

}  // namespace rmoe::report
