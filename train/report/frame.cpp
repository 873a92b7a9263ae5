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
  return y + 10;
}

double draw_legend(Svg& svg, const std::vector<std::string>& names, double top, double width,
                   const std::function<void(int, double, double)>& swatch) {
  constexpr double kSwatch = 24, kGap = 16;
  double x = 0, y = top + 10;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string name = shortened(names[i], kTextSize, width - kSwatch);
    const double wide = kSwatch + text_width(name, kTextSize);
    if (x > 0 && x + wide > width) x = 0, y += kLine + 2;
    const auto group = svg.group(category_look(i));
    swatch(int(i), x + 9, y - 4);
    svg.text(x + kSwatch, y, name, "", name == names[i] ? "" : names[i]);
    x += wide + kGap;
  }
  return y + 10;
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

void draw_columns(Svg& svg, const Ticks& ticks, const Scale& scale, const Box& plot, Grid grid) {
  for (size_t i = 0; i < ticks.values.size(); ++i) {
    const double x = scale(ticks.values[i]);
    svg.line(x, grid == Grid::through ? plot.top : plot.bottom, x, plot.bottom + 4, "grid");
    svg.text(x, plot.bottom + kLine + 1, ticks.labels[i], "muted middle");
  }
}

std::string category_look(size_t index) { return fmt::format("s{}", index % kCategories); }

std::string spoken(const std::string& kind, const std::string& title, const std::vector<std::string>& parts) {
  std::string text = title.empty() ? kind : fmt::format("{}: {}", kind, title);
  for (size_t i = 0; i < parts.size(); ++i) text += (i == 0 ? ". " : ", ") + parts[i];
  return text;
}

}  // namespace rmoe::report
