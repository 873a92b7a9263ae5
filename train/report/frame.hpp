// What charts share: the sizes, the title over the plot, the legend, axes, and how two drawings of one chart,
// for a narrow and for a wide place, become one figure.
#pragma once

#include "train/report/scale.hpp"
#include "train/report/svg_writer.hpp"

#include <functional>
#include <string>
#include <vector>

namespace rmoe::report {

inline constexpr double kNarrow = 328;  // a phone of 360 less its margins: text keeps its size there
inline constexpr double kSmall = 264;   // four beside each other on a desk
inline constexpr double kWide =
    610;  // 12 pixels of text are still 11 where the style sheet lets it in, at 560
inline constexpr double kTitleSize = 14, kTextSize = 12, kCellSize = 11;  // as in the style sheet
inline constexpr double kLine = 16;                                       // from one line of text to the next

/// The title and below it what the values are; returns where the rest begins.
double draw_title(Svg& svg, const std::string& title, const std::string& label, double width);

/// Swatches with names, as many lines as it takes; `draw_swatch` draws one from x to x + swatch, centred on
/// y.
double draw_legend(Svg& svg, const std::vector<std::string>& names, double top, double width, double swatch,
                   const std::function<void(size_t index, double x, double y)>& draw_swatch);

struct Ticks {
  std::vector<double> values;
  std::vector<std::string> labels;

  explicit Ticks(std::vector<double> at);
  double widest() const;
};

/// Numbers left of the plot and a hairline across it for each.
void draw_rows(Svg& svg, const Ticks& ticks, const Scale& scale, const Box& plot);
/// Numbers below the plot, with a short tick or a hairline through it. Numbers stay inside the drawing's
/// `width` and do not touch: where they would, the later one is left out.
enum class Grid { ticks, through };
void draw_columns(Svg& svg, const Ticks& ticks, const Scale& scale, const Box& plot, double width, Grid grid);
/// What the numbers below the plot are; returns where the drawing ends.
double draw_x_label(Svg& svg, const std::string& label, const Box& plot);

/// "s0" ... of a category; they repeat after kCategories.
std::string category_look(size_t index);
/// What a screen reader says instead of the picture.
std::string spoken(const std::string& kind, const std::string& title, const std::vector<std::string>& parts);

}  // namespace rmoe::report
