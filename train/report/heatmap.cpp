#include "engine/error.hpp"
#include "train/report/chart.hpp"
#include "train/report/frame.hpp"
#include "train/report/labels.hpp"
#include "train/report/palette.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace rmoe::report {
namespace {

double widest(const std::vector<std::string>& texts) {
  double width = 0;
  for (const std::string& text : texts) width = std::max(width, text_width(text, kTextSize));
  return width;
}

class HeatmapDrawing {
 public:
  explicit HeatmapDrawing(const Heatmap& map) : map_(map) {
    Range range;
    for (const auto& row : map.values)
      for (const double v : row) {
        range.add(v);
        if (usable(v))
          number_width_ = std::max(number_width_, text_width(fixed_text(v, map.decimals), kCellSize));
      }
    range_ = range.with(map.low, map.high);
    if (range_.empty()) range_ = {0, 1};
  }

  /// With a number in every cell.
  double natural_width() const { return names_width(kNarrow) + double(columns()) * numbered_cell(); }

  std::string draw(double width, std::string_view look) {
    names_ = names_width(width);
    const double room = (width - names_) / double(std::max<size_t>(1, columns()));
    numbers_ = room >= numbered_cell() - 1e-9;
    cell_ = {0, 0, std::min(room, 48.0),
             numbers_ ? std::clamp(room, 22.0, 30.0) : std::clamp(room, 10.0, 22.0)};
    double top = draw_title(svg_, map_.title, "", width);
    if (!map_.row_label.empty())
      svg_.text(0, top, shortened(map_.row_label, kTextSize, width), "muted"), top += 8;
    plot_ = {names_, top, names_ + double(columns()) * cell_.width(),
             top + double(map_.rows.size()) * cell_.height()};
    draw_cells();
    name_rows();
    double bottom = name_columns();
    bottom = draw_scale(bottom);
    const std::string ranges = fmt::format("values from {} to {}", fixed_text(range_.low, map_.decimals),
                                           fixed_text(range_.high, map_.decimals));
    return svg_.finish(width, bottom, look,
                       spoken("Heat map", map_.title, {map_.row_label + " by " + map_.column_label, ranges}));
  }

 private:
  size_t columns() const { return map_.columns.size(); }
  double names_width(double width) const { return std::min(widest(map_.rows), 0.3 * width) + 8; }
  double numbered_cell() const { return std::max(number_width_ + 1.5, 24.0); }

  std::string short_text(double value) const {
    std::string text = fixed_text(value, map_.decimals);
    if (map_.decimals > 0) text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text;
  }

  void draw_cells() {
    for (size_t r = 0; r < map_.rows.size(); ++r)
      for (size_t c = 0; c < columns(); ++c) {
        const double value = map_.values[r][c];
        if (!usable(value)) continue;
        const double x = plot_.left + double(c) * cell_.width(), y = plot_.top + double(r) * cell_.height();
        const int level = level_of(value, range_.low, range_.high);
        const std::string number = fixed_text(value, map_.decimals);
        const std::string where = fmt::format("{} {}, {} {}: {}", map_.row_label, map_.rows[r],
                                              map_.column_label, map_.columns[c], value_text(value));
        svg_.rect({x + 0.5, y + 0.5, x + cell_.width() - 0.5, y + cell_.height() - 0.5},
                  fmt::format("q{}", level), where);
        if (numbers_)
          svg_.text(x + cell_.width() / 2, y + cell_.height() / 2 + 4, number,
                    fmt::format("cell middle t{}", level));
      }
  }

  void name_rows() {
    const auto every = size_t(std::ceil(13 / cell_.height()));
    for (size_t r = 0; r < map_.rows.size(); r += every) {
      const std::string name = shortened(map_.rows[r], kTextSize, names_ - 8);
      svg_.text(names_ - 8, plot_.top + (double(r) + 0.5) * cell_.height() + 4, name, "muted end",
                name == map_.rows[r] ? "" : map_.rows[r]);
    }
  }

  double name_columns() {
    constexpr double kMostUp = 130;
    const double wide = widest(map_.columns);
    const bool up = wide > cell_.width() - 2 && wide > 28;  // numbers are thinned out instead
    const double each = up ? kTextSize + 1 : wide + 6;
    const auto every = size_t(std::max(1.0, std::ceil(each / cell_.width())));
    for (size_t c = 0; c < columns(); c += every) {
      const double x = plot_.left + (double(c) + 0.5) * cell_.width();
      const std::string name = shortened(map_.columns[c], kTextSize, kMostUp);
      const std::string whole = name == map_.columns[c] ? "" : map_.columns[c];
      if (up)
        svg_.text_up(x + 4, plot_.bottom + 6, name, "muted end", whole);
      else
        svg_.text(x, plot_.bottom + kLine, name, "muted middle");
    }
    return plot_.bottom + (up ? std::min(wide, kMostUp) + 8 : kLine);
  }

  /// What the columns are and the key to the colours, on one line where both fit.
  double draw_scale(double y) {
    const std::string label = shortened(map_.column_label, kTextSize, plot_.right);
    if (!label.empty()) svg_.text(plot_.right, y += kLine, label, "muted end");
    constexpr double kStep = 2.5;
    const std::vector<std::string> ends = {short_text(range_.low), short_text(range_.high)};
    const double length = kStep * kLevels, left = text_width(ends[0], kTextSize) + 6;
    const double right = left + length + 6 + text_width(ends[1], kTextSize);
    if (right + 16 > plot_.right - text_width(label, kTextSize)) y += kLine + 4;
    svg_.text(0, y, ends[0], "muted");
    for (int i = 0; i < kLevels; ++i)
      svg_.rect({left + kStep * i, y - 9, left + length, y}, fmt::format("q{}", i));
    svg_.text(left + length + 6, y, ends[1], "muted");
    return y + 8;
  }

  const Heatmap& map_;
  Svg svg_;
  Range range_;
  double names_ = 0, number_width_ = 0;
  bool numbers_ = true;
  Box plot_{}, cell_{};
};

}  // namespace

std::string svg(const Heatmap& map) {
  RMOE_CHECK(map.values.size() == map.rows.size(), "heat map: ", map.values.size(), " rows of values for ",
             map.rows.size(), " names");
  for (size_t r = 0; r < map.rows.size(); ++r)
    RMOE_CHECK(map.values[r].size() == map.columns.size(), "heat map: row '", map.rows[r], "' has ",
               map.values[r].size(), " values for ", map.columns.size(), " columns");
  const double width = HeatmapDrawing(map).natural_width();
  if (width <= kNarrow) return HeatmapDrawing(map).draw(std::max(width, kSmall), "");
  return HeatmapDrawing(map).draw(kNarrow, "narrow") + HeatmapDrawing(map).draw(kWide, "wide");
}

}  // namespace rmoe::report
