#include "train/report/scale.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace rmoe::report {
namespace {

struct Step {
  int mantissa, exponent;

  double size() const { return times(1); }
  // Dividing by 10^-exponent, which is exact, makes 3 steps of 0.1 the number that is written 0.3.
  double times(double n) const {
    return exponent < 0 ? n * mantissa / std::pow(10, -exponent) : n * mantissa * std::pow(10, exponent);
  }
};

Step nice_step(const Range& range, int count) {
  const double rough = (range.high - range.low) / std::max(count, 1);
  const int exponent = int(std::floor(std::log10(rough)));
  const double f = rough / std::pow(10, exponent);
  // The borders are the geometric means of the neighbours.
  if (f < std::sqrt(2.)) return {1, exponent};
  if (f < std::sqrt(10.)) return {2, exponent};
  return f < std::sqrt(50.) ? Step{5, exponent} : Step{1, exponent + 1};
}

std::vector<double> ticks_inside(const Range& range, const Step& step) {
  const double first = std::ceil(range.low / step.size() - 1e-9);
  const double last = std::floor(range.high / step.size() + 1e-9);
  std::vector<double> ticks;
  for (int i = 0; first + i <= last; ++i) ticks.push_back(step.times(first + i));
  return ticks;
}

struct Unit {
  double size;
  std::string suffix;
};

Unit power_of_ten(int exponent) {
  std::string suffix = "×10";
  if (exponent < 0) suffix += "⁻";
  const char* const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  for (const char digit : std::to_string(std::abs(exponent))) suffix += digits[digit - '0'];
  return {std::pow(10, exponent), suffix};
}

Unit unit_of(const std::vector<double>& values) {
  double largest = 0;
  for (const double v : values)
    if (usable(v)) largest = std::max(largest, std::abs(v));
  if (largest == 0) return {1, ""};
  if (largest < 1e-3 || largest >= 1e15) return power_of_ten(int(std::floor(std::log10(largest))));
  if (largest >= 1e12) return {1e12, "T"};
  if (largest >= 1e9) return {1e9, "B"};
  if (largest >= 1e6) return {1e6, "M"};
  return largest >= 1e4 ? Unit{1e3, "k"} : Unit{1, ""};
}

std::string in_unit(double value, const Unit& unit, int decimals) {
  if (!usable(value)) return "–";
  const std::string text = fixed_text(value / unit.size, decimals);
  return value == 0 ? "0" : text + unit.suffix;
}

}  // namespace

bool usable(double value) { return std::isfinite(value) && std::abs(value) <= 1e300; }

void Range::add(double value) {
  if (!usable(value)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

Range Range::with(double fixed_low, double fixed_high) const {
  Range r = *this;
  if (usable(fixed_low)) r.low = fixed_low;
  if (usable(fixed_high)) r.high = fixed_high;
  return r;
}

Range Range::widened() const {
  if (empty()) return {0, 1};
  const double size = std::max(std::abs(low), std::abs(high));
  // Closer than this, neighbouring ticks would round to one double.
  if (high - low > std::max(1e-12 * size, 1e-290)) return *this;
  const double room = size > 1e-280 ? 0.05 * size : 1;
  return {low - room, high + room};
}

std::vector<double> nice_ticks(const Range& range, int count) {
  return ticks_inside(range, nice_step(range, count));
}

Axis nice_axis(const Range& range, int count, double room) {
  const Step step = nice_step(range, count);
  const Range out = {step.times(std::floor(range.low / step.size() + 1e-9)),
                     step.times(std::ceil(range.high / step.size() - 1e-9))};
  const bool fits = out.high - out.low <= (1 + room) * (range.high - range.low);
  return {fits ? out : range, ticks_inside(fits ? out : range, step)};
}

double Scale::operator()(double value) const {
  const double share = (value - range_.low) / (range_.high - range_.low);
  return std::clamp(from_ + share * (to_ - from_), -1e5, 1e5);
}

std::vector<std::string> tick_labels(const std::vector<double>& values) {
  const Unit unit = unit_of(values);
  double spacing = std::numeric_limits<double>::infinity();
  for (size_t i = 1; i < values.size(); ++i)
    spacing = std::min(spacing, std::abs(values[i] - values[i - 1]) / unit.size);
  if (values.size() == 1) spacing = std::abs(values[0]) / unit.size;

  const auto fits = [&](int decimals) {
    const double ten = std::pow(10, decimals);
    return std::ranges::all_of(values, [&](double v) {
      return std::abs(std::round(v / unit.size * ten) / ten - v / unit.size) <= 1e-3 * spacing;
    });
  };
  int decimals = 0;
  while (decimals < 12 && !fits(decimals)) ++decimals;
  std::vector<std::string> labels;
  for (const double v : values) labels.push_back(in_unit(v, unit, decimals));
  return labels;
}

std::vector<std::string> value_labels(const std::vector<double>& values) {
  const Unit unit = unit_of(values);
  double largest = 0;
  for (const double v : values)
    if (usable(v)) largest = std::max(largest, std::abs(v) / unit.size);
  const int whole = largest > 0 ? int(std::floor(std::log10(largest))) : 0;
  const bool counts = std::ranges::all_of(values, [](double v) { return !usable(v) || v == std::round(v); });
  const int decimals = counts && unit.size == 1 ? 0 : std::max(0, 2 - whole);
  std::vector<std::string> labels;
  for (const double v : values) labels.push_back(in_unit(v, unit, decimals));
  return labels;
}

std::string value_text(double value) {
  if (!usable(value)) return "–";
  const Unit unit = unit_of({value});
  const std::string text = fmt::format("{:.4g}", std::abs(value) / unit.size);
  return (value < 0 ? "−" : "") + text + unit.suffix;
}

std::string fixed_text(double value, int decimals) {
  if (!usable(value)) return "–";
  std::string text = fmt::format("{:.{}f}", std::abs(value), decimals);
  // A rounded zero has no sign.
  return value < 0 && text.find_first_not_of("0.") != std::string::npos ? "−" + text : text;
}

}  // namespace rmoe::report
