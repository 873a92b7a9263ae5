#include "engine/error.hpp"
#include "train/report/chart.hpp"
#include "train/report/frame.hpp"
#include "train/report/labels.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace rmoe::report {
namespace {

struct Point {
  double x, y;
};

std::vector<Point> density(const Series& s) {
  std::vector<Point> points;
  for (size_t i = 0; i < s.x.size(); ++i)
    if (usable(s.x[i]) && usable(s.y[i])) points.push_back({s.x[i], std::max(0.0, s.y[i])});
  return points;
}

/// Where half of the area below the curve lies to the left.
double median(const std::vector<Point>& points) {
  const auto area = [&](size_t i) {
    return (points[i].x - points[i - 1].x) * (points[i].y + points[i - 1].y) / 2;
  };
  double left = 0;
  for (size_t i = 1; i < points.size(); ++i) left += area(i) / 2;
  for (size_t i = 1; i < points.size(); ++i) {
    if (left <= area(i) && area(i) > 0) {
      // The density is linear here: y0 t + (y1 - y0) t^2 / 2 = left / dx, solved without cancellation.
      const double dx = points[i].x - points[i - 1].x, y0 = points[i - 1].y, slope = points[i].y - y0;
      const double root = std::sqrt(std::max(0.0, y0 * y0 + 2 * slope * left / dx));
      return points[i - 1].x + (y0 + root > 0 ? 2 * left / (y0 + root) : 0);
    }
    left -= area(i);
  }
  return points.empty() ? kAuto : points[points.size() / 2].x;
}

double height_at(const std::vector<Point>& points, double x) {
  for (size_t i = 1; i < points.size(); ++i)
    if (x <= points[i].x && points[i].x > points[i - 1].x)
      return points[i - 1].y +
             (x - points[i - 1].x) / (points[i].x - points[i - 1].x) * (points[i].y - points[i - 1].y);
  return points.empty() ? 0 : points.back().y;
}

class RidgesDrawing {
 public:
  RidgesDrawing(const Ridges& chart, double width, double pitch)
      : chart_(chart), width_(width), pitch_(pitch) {}

  std::string draw(std::string_view look) {
    place(draw_title(svg_, chart_.title, "", width_) + (kOverlap - 1) * pitch_);
    std::vector<std::string> medians;
    {
      const auto group = svg_.group(category_look(0));
      for (size_t r = 0; r < chart_.rows.size(); ++r) medians.push_back(draw_row(r));
    }
    const double bottom = draw_x_label(svg_, chart_.x_label, plot_);
    return svg_.finish(width_, bottom, look, spoken("Distributions", chart_.title, medians));
  }

 private:
  static constexpr double kOverlap = 1.9;  // the height of the highest ridge, in rows

  void place(double top) {
    Range x;
    for (const Series& row : chart_.rows) {
      names_ = std::max(names_, text_width(row.name, kTextSize));
      for (const Point& p : density(row)) x.add(p.x), peak_ = std::max(peak_, p.y);
    }
    names_ = std::min(names_, 0.35 * width_);
    plot_ = {names_ + 10, top, width_ - 10, top + double(chart_.rows.size()) * pitch_};
    const Range range = x.with(chart_.low, chart_.high).widened();
    scale_ = Scale(range, plot_.left, plot_.right);
    draw_columns(svg_, Ticks(nice_ticks(range, int(plot_.width() / 60))), scale_, plot_, width_,
                 Grid::through);
  }

  /// Returns the row in words.
  std::string draw_row(size_t r) {
    const Series& row = chart_.rows[r];
    const double base = plot_.top + double(r + 1) * pitch_;
    const std::string name = shortened(row.name, kTextSize, names_);
    svg_.text(names_, base - 3, name, "muted end", name == row.name ? "" : row.name);
    svg_.line(plot_.left, base, plot_.right, base, "grid");
    const std::vector<Point> points = density(row);
    if (points.empty()) return row.name + " no data";

    const auto y = [&](double height) { return base - height / peak_ * kOverlap * pitch_; };
    const double middle = median(points), x = on_plot(middle);
    const std::string words = fmt::format("{} median {}", row.name, value_text(middle));
    Path ridge;
    ridge.draw(on_plot(points.front().x), base);
    for (const Point& p : points) ridge.draw(on_plot(p.x), y(p.y));
    ridge.draw(on_plot(points.back().x), base);
    svg_.path(ridge, "ridge", words);
    svg_.line(x, base, x, std::min(base - 4, y(height_at(points, middle))), "median");
    return words;
  }

  double on_plot(double value) const { return std::clamp(scale_(value), plot_.left, plot_.right); }

  const Ridges& chart_;
  double width_, pitch_;
  double names_ = 0;
  double peak_ = std::numeric_limits<double>::min();
  Svg svg_;
  Box plot_{};
  Scale scale_{Range{0, 1}, 0, 1};
};

}  // namespace

std::string svg(const Ridges& chart) {
  for (const Series& row : chart.rows)
    RMOE_CHECK(row.x.size() == row.y.size() && std::ranges::is_sorted(row.x), "ridges: row '", row.name,
               "' wants as many y (", row.y.size(), ") as rising x (", row.x.size(), ")");
  return RidgesDrawing(chart, kSmall, 26).draw("narrow") + RidgesDrawing(chart, kWide, 36).draw("wide");
}

}  // namespace rmoe::report
