// Axes: the range of the data, ticks at 1, 2 or 5 times a power of ten, and how numbers are written beside
// them.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace rmoe::report {

/// Whether a chart can show it: finite, and far enough from overflow that differences are finite too.
bool usable(double value);

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;  // holds nothing yet

  void add(double value);  // what is not usable is left out
  bool empty() const { return low > high; }
  /// The bounds that were asked for (kAuto: none) in the place of the data's.
  Range with(double fixed_low, double fixed_high) const;
  /// Room around a constant, [0,1] for nothing: a range that a scale can divide by.
  Range widened() const;
};

struct Axis {
  Range range;
  std::vector<double> ticks;
};

/// About `count` ticks inside a widened range, at a step of 1, 2 or 5 times a power of ten.
std::vector<double> nice_ticks(const Range& range, int count);
/// The same with the range drawn out to the next ticks, as far as that adds at most `room` of its length.
Axis nice_axis(const Range& range, int count, double room = 2);

/// Pixels of a value; far outside the range they stay numbers that a browser can take.
class Scale {
 public:
  Scale(const Range& range, double from, double to) : range_(range), from_(from), to_(to) {}
  double operator()(double value) const;

 private:
  Range range_;
  double from_, to_;
};

/// Labels of one axis or one set of bars, all in the same unit: the fewest decimals that tell the values
/// apart.
std::vector<std::string> tick_labels(const std::vector<double>& values);
/// Labels with three significant digits of the largest.
std::vector<std::string> value_labels(const std::vector<double>& values);
/// One number by itself, four significant digits.
std::string value_text(double value);
/// `value` with so many decimals and a true minus sign.
std::string fixed_text(double value, int decimals);

}  // namespace rmoe::report
