#include "engine/error.hpp"
#include "train/report/chart.hpp"
#include "train/report/frame.hpp"
#include "train/report/labels.hpp"
#include "train/report/marker.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>
#include <set>

namespace rmoe::report {
namespace {

constexpr size_t kMostMarkers = 24;  // points per series; beyond, dashes tell the series apart

class LineDrawing {
 public:
  LineDrawing(const LineChart& chart, double width, double plot_height)
      : chart_(chart), width_(width), plot_height_(plot_height) {
    for (const Series& s : chart.series) markers_ = markers_ && s.x.size() <= kMostMarkers;
  }

  std::string draw(std::string_view look) {
    double top = draw_title(svg_, chart_.title, chart_.y_label, width_);
    const bool direct = labels_fit();
    if (!direct && chart_.series.size() > 1) top = draw_key(top);
    place(top, direct);
    draw_marks();
    if (direct) label_ends();
    const double bottom = draw_x_label(svg_, chart_.x_label, plot_);
    std::vector<std::string> parts = {chart_.y_label + " against " + chart_.x_label};
    for (const Series& s : chart_.series) parts.push_back(s.name);
    return svg_.finish(width_, bottom, look, spoken("Line chart", chart_.title, parts));
  }

 private:
  bool shown(const Series& s, size_t i) const { return usable(s.x[i]) && usable(s.y[i]); }

  static bool empty(const Series& s) { return std::ranges::none_of(s.y, usable); }
  /// What stands at the end of the line; a series without data is named, too.
  static std::string label(const Series& s) {
    return empty(s) && !s.name.empty() ? s.name + ": no data" : s.name;
  }

  double widest_name() const {
    double widest = 0;
    for (const Series& s : chart_.series) widest = std::max(widest, text_width(label(s), kTextSize));
    return widest;
  }

  bool labels_fit() const {
    const double widest = widest_name();
    return widest > 0 && widest <= 0.36 * width_ && double(chart_.series.size()) * kLine <= plot_height_;
  }

  /// Room for the lines that lead to the names: more of them are steeper.
  double gutter() const { return 12 + double(chart_.series.size()); }

  std::string dash(size_t index) const { return fmt::format("d{}", (markers_ ? index / 7 : index) % 4); }

  double draw_key(double top) {
    std::vector<std::string> names;
    for (const Series& s : chart_.series) names.push_back(label(s));
    return draw_legend(svg_, names, top, width_, 20, [&](size_t i, double x, double y) {
      svg_.line(x, y, x + 20, y, "line " + dash(i));
      if (markers_) draw_marker(svg_, i, x + 10, y);
    });
  }

  void place(double top, bool direct) {
    Range x, y;
    for (const Series& s : chart_.series)
      for (size_t i = 0; i < s.x.size(); ++i) {
        if (!shown(s, i)) continue;
        x.add(s.x[i]);
        y.add(s.y[i]);
        if (!s.low.empty()) y.add(s.low[i]), y.add(s.high[i]);
      }
    const int rows = int(plot_height_ / 46);
    fixed_ = usable(chart_.y_low) && usable(chart_.y_high);
    const Axis vertical = nice_axis(y.with(chart_.y_low, chart_.y_high).widened(), rows, fixed_ ? 0 : 2);
    const Ticks y_ticks(vertical.ticks);
    const double right = direct ? gutter() + widest_name() + 4 : 12;
    plot_ = {y_ticks.widest() + 8, top, width_ - right, top + plot_height_};
    const double pad = markers_ ? 8 : 0;
    x_scale_ = Scale(x_axis(x).range, plot_.left + pad, plot_.right - pad);
    y_scale_ = Scale(vertical.range, plot_.bottom, plot_.top);
    draw_rows(svg_, y_ticks, y_scale_, plot_);
    draw_columns(svg_, x_ticks(x), x_scale_, plot_, width_, Grid::ticks);
    if (x.empty())
      svg_.text((plot_.left + plot_.right) / 2, (plot_.top + plot_.bottom) / 2, "no data", "muted middle");
  }

  /// A run from step 10 to 59,990 has the axis from 0 to 60k.
  Axis x_axis(const Range& data) const { return nice_axis(data.widened(), int(plot_.width() / 60), 0.04); }

  /// Where few places were measured the axis names those.
  Ticks x_ticks(const Range& range) const {
    std::set<double> places;
    bool whole = true;
    for (const Series& s : chart_.series)
      for (size_t i = 0; i < s.x.size() && places.size() < 400; ++i)
        if (shown(s, i)) places.insert(s.x[i]), whole = whole && s.x[i] == std::round(s.x[i]);
    if (!places.empty() && places.size() <= 8) {
      const Ticks ticks(std::vector<double>(places.begin(), places.end()));
      bool apart = true;
      for (size_t i = 1; i < ticks.values.size(); ++i)
        apart = apart && x_scale_(ticks.values[i]) - x_scale_(ticks.values[i - 1]) > ticks.widest() + 8;
      if (apart) return ticks;
    }
    std::vector<double> ticks = x_axis(range).ticks;
    if (whole) std::erase_if(ticks, [](double v) { return v != std::round(v); });
    return Ticks(ticks);
  }

  void draw_marks() {
    if (fixed_) svg_.clip(plot_);
    for (size_t k = 0; k < chart_.series.size(); ++k) {
      const auto group = svg_.group(category_look(k));
      draw_band(chart_.series[k]);
    }
    for (size_t k = 0; k < chart_.series.size(); ++k) {
      const auto group = svg_.group(category_look(k));
      draw_line(chart_.series[k], k);
    }
    if (fixed_) svg_.end_clip();
  }

  /// Of a long curve, the lowest and the highest point in every column of pixels, and a gap: it looks the
  /// same.
  std::vector<size_t> worth_drawing(const Series& s) const {
    std::vector<size_t> all(s.x.size());
    std::iota(all.begin(), all.end(), size_t{0});
    const bool dense = double(all.size()) > 3 * plot_.width();
    if (!dense || !std::ranges::all_of(s.x, usable) || !std::ranges::is_sorted(s.x)) return all;
    std::vector<size_t> kept;
    for (size_t first = 0, next; first < all.size(); first = next) {
      std::set<size_t> column = {first};
      size_t low = first, high = first;
      const double pixel = std::floor(x_scale_(s.x[first]));
      for (next = first; next < all.size() && std::floor(x_scale_(s.x[next])) == pixel; ++next) {
        if (!usable(s.y[next])) column = {next};
        if (!(s.y[low] <= s.y[next])) low = next;
        if (!(s.y[high] >= s.y[next])) high = next;
      }
      column.insert({low, high});
      kept.insert(kept.end(), column.begin(), column.end());
    }
    return kept;
  }

  void draw_band(const Series& s) {
    if (s.low.empty()) return;
    Path band;
    std::vector<size_t> run;
    const auto close_run = [&] {
      for (const size_t i : run) band.draw(x_scale_(s.x[i]), y_scale_(s.high[i]));
      std::ranges::reverse(run);
      for (const size_t i : run) band.draw(x_scale_(s.x[i]), y_scale_(s.low[i]));
      if (!run.empty()) band.close();
      run.clear();
    };
    for (const size_t i : worth_drawing(s)) {
      if (shown(s, i) && usable(s.low[i]) && usable(s.high[i]))
        run.push_back(i);
      else
        close_run();
    }
    close_run();
    svg_.path(band, "band");
  }

  void draw_line(const Series& s, size_t index) {
    const std::vector<size_t> kept = worth_drawing(s);
    Path line;
    for (const size_t i : kept) {
      if (shown(s, i))
        line.draw(x_scale_(s.x[i]), y_scale_(s.y[i]));
      else
        line.lift();
    }
    svg_.path(line, (markers_ ? "line " : "line dense ") + dash(index), s.name);
    for (size_t k = 0; k < kept.size(); ++k) {
      const bool alone =
          (k == 0 || !shown(s, kept[k - 1])) && (k + 1 == kept.size() || !shown(s, kept[k + 1]));
      const size_t i = kept[k];
      if (shown(s, i) && (markers_ || alone))
        draw_marker(svg_, index, x_scale_(s.x[i]), y_scale_(s.y[i]), tooltip(s, i));
    }
  }

  std::string tooltip(const Series& s, size_t i) const {
    std::string text =
        fmt::format("{} {} {}: {}", s.name, chart_.x_label, value_text(s.x[i]), value_text(s.y[i]));
    if (!s.low.empty()) text += fmt::format(" ({} to {})", value_text(s.low[i]), value_text(s.high[i]));
    return text;
  }

  /// The name of each line at its end, moved apart where lines end close together.
  void label_ends() {
    std::vector<double> ends_x, ends_y;
    for (const Series& s : chart_.series) {
      double x = plot_.right, y = plot_.bottom;
      for (size_t i = 0; i < s.x.size(); ++i)
        if (shown(s, i)) x = x_scale_(s.x[i]), y = std::clamp(y_scale_(s.y[i]), plot_.top, plot_.bottom);
      ends_x.push_back(x);
      ends_y.push_back(y);
    }
    const std::vector<double> places = spread_out(ends_y, kLine - 1, plot_.top, plot_.bottom);
    for (size_t k = 0; k < places.size(); ++k) {
      const Series& s = chart_.series[k];

      const auto group = svg_.group(category_look(k));
      if (!empty(s))
        svg_.line(ends_x[k] + (markers_ ? 6 : 2), ends_y[k], plot_.right + gutter(), places[k], "leader");
      svg_.text(plot_.right + gutter() + 4, places[k] + 4, label(s), empty(s) ? "muted" : "name");
    }
  }

  const LineChart& chart_;
  double width_, plot_height_;
  bool markers_ = true, fixed_ = false;
  Svg svg_;
  Box plot_{};
  Scale x_scale_{Range{0, 1}, 0, 1}, y_scale_{Range{0, 1}, 0, 1};
};

}  // namespace

std::string svg(const LineChart& chart) {
  for (const Series& s : chart.series) {
    RMOE_CHECK(s.x.size() == s.y.size(), "line chart: series '", s.name, "' has ", s.x.size(), " x and ",
               s.y.size(), " y");
    RMOE_CHECK(s.low.size() == s.high.size() && (s.low.empty() || s.low.size() == s.y.size()),
               "line chart: the band of series '", s.name, "' has ", s.low.size(), " low and ", s.high.size(),
               " high for ", s.y.size(), " y");
  }
  return LineDrawing(chart, kNarrow, 200).draw("narrow") + LineDrawing(chart, kWide, 320).draw("wide");
}

}  // namespace rmoe::report
