#include "train/report/frame.hpp"

#include "train/report/labels.hpp"
#include "train/report/palette.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace rmoe::report {

double draw_title(Svg& svg, const std::string& title, const std::string& label, double width) {
  double y = 0;
  for (const std::string& line : wrapped(title, 1.08 * kTitleSize, width))
    svg.text(0, y += 18, line, "title");
  for (const std::string& line : wrapped(label, kTextSize, width)) svg.text(0, y += kLine, line, "muted");
  return y + kLine;
}

double draw_legend(Svg& svg, const std::vector<std::string>& names, double top, double width, double swatch,
                   const std::function<void(size_t, double, double)>& draw_swatch) {
  constexpr double kGap = 16;
  double x = 0, y = top + 4;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string name = shortened(names[i], kTextSize, width - swatch - 6);
    const double wide = swatch + 6 + text_width(name, kTextSize);
    if (x > 0 && x + wide > width) x = 0, y += kLine + 2;
    const auto group = svg.group(category_look(i));
    draw_swatch(i, x, y - 4);
    svg.text(x + swatch + 6, y, name, "", name == names[i] ? "" : names[i]);
    x += wide + kGap;
  }
  return y + kLine;
}

Ticks::Ticks(std::vector<double> at) : values(std::move(at)), labels(tick_labels(values)) {}

double Ticks::widest() const {
  double width = 0;
  for (const std::string& label : labels) width = std::max(width, text_width(label, kTextSize));
  return width;
}

void draw_rows(Svg& svg, const Ticks& ticks, const Scale& scale, const Box& plot) {
  for (size_t i = 0; i < ticks.values.size(); ++i) {
    const double y = scale(ticks.values[i]);
    svg.line(plot.left, y, plot.right, y, "grid");
    svg.text(plot.left - 8, y + 4, ticks.labels[i], "muted end");
  }
}

void draw_columns(Svg& svg, const Ticks& ticks, const Scale& scale, const Box& plot, double width,
                  Grid grid) {
  double free = -1;  // of other numbers from here on
  for (size_t i = 0; i < ticks.values.size(); ++i) {
    const double x = scale(ticks.values[i]), half = text_width(ticks.labels[i], kTextSize) / 2;
    svg.line(x, grid == Grid::through ? plot.top : plot.bottom, x, plot.bottom + 4, "grid");
    const double middle = std::clamp(x, half, std::max(half, width - half));
    if (middle - half < free) continue;
    svg.text(middle, plot.bottom + kLine + 1, ticks.labels[i], "muted middle");
    free = middle + half + 4;
  }
}

double draw_x_label(Svg& svg, const std::string& label, const Box& plot) {
  double y = plot.bottom + kLine + 8;
  if (!label.empty()) svg.text(plot.right, y += 12, shortened(label, kTextSize, plot.right), "muted end");
  return y + 6;
}

std::string category_look(size_t index) { return fmt::format("s{}", index % kCategories); }

std::string spoken(const std::string& kind, const std::string& title, const std::vector<std::string>& parts) {
  std::string text = title.empty() ? kind : fmt::format("{}: {}", kind, title);
  for (size_t i = 0; i < parts.size(); ++i) text += (i == 0 ? ". " : ", ") + parts[i];
  return text;
}

}  // namespace rmoe::report
