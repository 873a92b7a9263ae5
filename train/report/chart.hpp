// Charts as inline SVG for a Page: plain data in, markup out. Colours and type come from the page's style
// sheet, so a chart follows the reader's light or dark theme and prints in black on white. Not-a-number means
// "no value": a gap in a line, a missing bar, a blank cell. Equal input gives equal bytes.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace rmoe::report {

/// A bound that the chart takes from its data.
inline constexpr double kAuto = std::numeric_limits<double>::quiet_NaN();

struct Series {
  std::string name;
  std::vector<double> x = {}, y = {};
  std::vector<double> low = {}, high = {};  // a band around y, or both empty
};

struct LineChart {
  std::string title = {}, x_label = {}, y_label = {};
  std::vector<Series> series = {};
  double y_low = kAuto, y_high = kAuto;  // set both to give several charts one scale
};

struct Bars {
  std::string name;
  std::vector<double> values = {};  // one per group
  std::vector<double> spread = {};  // half the length of the whisker, one per group, or empty
};

/// Upright while the names of the groups fit below their bars, else lying. The axis always holds zero.
struct BarChart {
  std::string title = {}, y_label = {};
  std::vector<std::string> groups = {};
  std::vector<Bars> bars = {};
  double low = kAuto, high = kAuto;
};

struct Heatmap {
  std::string title = {}, row_label = {}, column_label = {};
  std::vector<std::string> rows = {}, columns = {};
  std::vector<std::vector<double>> values = {};  // [row][column]
  double low = kAuto, high = kAuto;              // what the palest and the strongest colour stand for
  int decimals = 2;
};

/// One distribution per row, the first on top: x are points of the support, y the density there (any unit:
/// all rows share one height scale). The tick in each row is its median.
struct Ridges {
  std::string title = {}, x_label = {};
  std::vector<Series> rows = {};
  double low = kAuto, high = kAuto;  // of x
};

std::string svg(const LineChart& chart);
std::string svg(const BarChart& chart);
std::string svg(const Heatmap& chart);
std::string svg(const Ridges& chart);

}  // namespace rmoe::report
