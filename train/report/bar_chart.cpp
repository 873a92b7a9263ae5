#include "engine/error.hpp"
#include "train/report/chart.hpp"
#include "train/report/frame.hpp"
#include "train/report/labels.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace rmoe::report {
namespace {

/// Bars stand along one axis and grow along the other; all positions but the last step are in those two.
class BarDrawing {
 public:
  BarDrawing(const BarChart& chart, double width, double plot_height)
      : chart_(chart), width_(width), plot_height_(plot_height) {
    Range range;
    range.add(0);
    for (const Bars& b : chart.bars)
      for (size_t g = 0; g < b.values.size(); ++g) {
        range.add(b.values[g] + spread(b, g));
        range.add(b.values[g] - spread(b, g));
        all_values_.push_back(b.values[g]);
      }
    range_ = range.low < range.high ? range : Range{0, 1};
    labels_ = value_labels(all_values_);
    for (const std::string& label : labels_)
      value_width_ = std::max(value_width_, text_width(label, kCellSize));
  }

  std::string draw(std::string_view look) {
    double top = draw_title(svg_, chart_.title, chart_.y_label, width_);
    if (chart_.bars.size() > 1) top = draw_key(top);
    const double bottom = lying() ? draw_lying(top) : draw_upright(top);
    std::vector<std::string> parts = {chart_.y_label};
    for (const Bars& b : chart_.bars) parts.push_back(b.name);
    return svg_.finish(width_, bottom, look, spoken("Bar chart", chart_.title, parts));
  }

 private:
  static double spread(const Bars& b, size_t group) {
    return b.spread.empty() || !usable(b.spread[group]) ? 0 : b.spread[group];
  }

  double widest_group() const {
    double widest = 0;
    for (const std::string& name : chart_.groups) widest = std::max(widest, text_width(name, kTextSize));
    return widest;
  }

  /// Short names (the numbers of experts) may be thinned out below upright bars; long ones need a line each.
  bool lying() const {
    const double band = (width_ - 40) / std::max(1.0, double(chart_.groups.size()));
    return widest_group() > band - 4 && widest_group() > 28;
  }

  double draw_key(double top) {
    std::vector<std::string> names;
    for (const Bars& b : chart_.bars) names.push_back(b.name);
    return draw_legend(svg_, names, top, width_, 10, [&](size_t, double x, double y) {
      svg_.rect({x, y - 5, x + 10, y + 5}, "bar");
    });
  }

  Axis axis(int count) const {
    const bool fixed = usable(chart_.low) && usable(chart_.high);
    return nice_axis(range_.with(chart_.low, chart_.high).widened(), count, fixed ? 0 : 2);
  }

  double draw_upright(double top) {
    const int rows = int(plot_height_ / 46);
    const Axis vertical = axis(rows);
    const Ticks ticks(vertical.ticks);
    plot_ = {ticks.widest() + 8, top, width_, top + plot_height_};
    scale_ = Scale(vertical.range, plot_.bottom, plot_.top);
    draw_rows(svg_, ticks, scale_, plot_);
    const size_t groups = chart_.groups.size();
    const double band = groups ? plot_.width() / double(groups) : 0;
    draw_bars(plot_.left, band);
    svg_.line(plot_.left, scale_(0), plot_.right, scale_(0), "axis");
    const auto every = size_t(std::max(1.0, std::ceil((widest_group() + 4) / std::max(band, 1.0))));
    for (size_t g = 0; g < groups; g += every)
      svg_.text(plot_.left + (double(g) + 0.5) * band, plot_.bottom + kLine + 1, chart_.groups[g],
                "muted middle");
    return plot_.bottom + kLine + 10;
  }

  double draw_lying(double top) {
    const size_t groups = chart_.groups.size(), bars = std::max<size_t>(1, chart_.bars.size());
    const double band = double(bars) * 14 + 10;
    const double names = std::min(widest_group(), 0.4 * width_) + 10;
    const Axis across = axis(int((width_ - names) / 80));
    plot_ = {names, top, width_ - value_width_ - 6, top + double(groups) * band};
    if (across.range.low < 0) plot_.left += value_width_ + 6;
    scale_ = Scale(across.range, plot_.left, plot_.right);
    draw_columns(svg_, Ticks(across.ticks), scale_, plot_, width_, Grid::through);
    draw_bars(plot_.top, band);
    svg_.line(scale_(0), plot_.top, scale_(0), plot_.bottom, "axis");
    for (size_t g = 0; g < groups; ++g) {
      const std::string name = shortened(chart_.groups[g], kTextSize, names - 10);
      svg_.text(names - 10, plot_.top + (double(g) + 0.5) * band + 4, name, "end",
                name == chart_.groups[g] ? "" : chart_.groups[g]);
    }
    return plot_.bottom + kLine + 10;
  }

  void draw_bars(double start, double band) {
    const size_t bars = std::max<size_t>(1, chart_.bars.size());
    const double inner = std::min(band * (band > 8 ? 0.8 : 0.9), 48.0 * double(bars));
    const double thick = inner / double(bars);
    // Numbers on upright bars only where each has its own room.
    const bool numbers = lying() || thick >= value_width_ + 3;
    for (size_t k = 0; k < chart_.bars.size(); ++k) {
      const auto group = svg_.group(category_look(k));
      for (size_t g = 0; g < chart_.groups.size(); ++g) {
        const double from = start + (double(g) + 0.5) * band - inner / 2 + double(k) * thick;
        draw_bar(k, g, from, from + thick - (thick > 4 && bars > 1 ? 1 : 0), numbers);
      }
    }
  }

  void draw_bar(size_t k, size_t g, double from, double to, bool numbers) {
    const Bars& b = chart_.bars[k];
    const double value = b.values[g], more = spread(b, g);
    if (!usable(value)) {
      if (numbers) draw_number("–", (from + to) / 2, on_plot(0), false);
      return;
    }
    const double base = on_plot(0), end = on_plot(value);
    const std::string name = b.name.empty() ? chart_.groups[g] : chart_.groups[g] + ", " + b.name;
    const std::string whisker = more > 0 ? " ± " + value_text(more) : "";
    svg_.rect(box(from, to, base, end), "bar", fmt::format("{}: {}{}", name, value_text(value), whisker));
    const double middle = (from + to) / 2;
    if (more > 0) segment(middle, on_plot(value - more), on_plot(value + more));
    const double tip = on_plot(value < 0 ? value - more : value + more);
    if (numbers) draw_number(labels_[k * chart_.groups.size() + g], middle, tip, value < 0);
  }

  void draw_number(const std::string& label, double middle, double tip, bool below) {
    if (lying())
      svg_.text(below ? tip - 5 : tip + 5, middle + 4, label, below ? "number end" : "number");
    else
      svg_.text(middle, below ? tip + 13 : tip - 5, label, "number middle");
  }

  double on_plot(double value) const {
    const double p = scale_(value);
    return lying() ? std::clamp(p, plot_.left, plot_.right) : std::clamp(p, plot_.top, plot_.bottom);
  }

  Box box(double from, double to, double a, double b) const {
    const auto [low, high] = std::minmax(a, b);
    return lying() ? Box{low, from, high, to} : Box{from, low, to, high};
  }

  void segment(double across, double a, double b) {
    if (lying())
      svg_.line(a, across, b, across, "whisker");
    else
      svg_.line(across, a, across, b, "whisker");
  }

  const BarChart& chart_;
  double width_, plot_height_;
  Svg svg_;
  Range range_;
  std::vector<double> all_values_;
  std::vector<std::string> labels_;  // [bars][groups]
  double value_width_ = 0;
  Box plot_{};
  Scale scale_{Range{0, 1}, 0, 1};
};

}  // namespace

std::string svg(const BarChart& chart) {
  const size_t groups = chart.groups.size();
  for (const Bars& b : chart.bars) {
    RMOE_CHECK(b.values.size() == groups, "bar chart: '", b.name, "' has ", b.values.size(), " values for ",
               groups, " groups");
    RMOE_CHECK(b.spread.empty() || b.spread.size() == groups, "bar chart: '", b.name, "' has ",
               b.spread.size(), " spreads for ", groups, " groups");
  }
  return BarDrawing(chart, kNarrow, 180).draw("narrow") + BarDrawing(chart, kWide, 260).draw("wide");
}

}  // namespace rmoe::report
