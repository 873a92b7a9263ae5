// Means over seeds, and what they are worth.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

namespace rmoe::reproduce {

/// Of n numbers. With fewer than two there is no spread: NaN.
struct Summary {
  int64_t n = 0;
  double mean = std::numeric_limits<double>::quiet_NaN();
  double deviation = mean;       // sample standard deviation, sqrt(sum (x - mean)^2 / (n - 1))
  double standard_error = mean;  // of the mean, deviation / sqrt(n)
};

Summary summarize(std::span<const double> values);

/// Of a_i - b_i, where i is the seed that both share: what the seed does to both of them cancels.
Summary paired_difference(std::span<const double> a, std::span<const double> b);

}  // namespace rmoe::reproduce
