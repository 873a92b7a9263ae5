#include "train/reproduce/statistics.hpp"

#include "engine/error.hpp"

#include <cmath>
#include <vector>

namespace rmoe::reproduce {

Summary summarize(std::span<const double> values) {
  Summary s;
  s.n = int64_t(values.size());
  if (s.n == 0) return s;
  double sum = 0, squares = 0;
  for (const double x : values) sum += x - values[0];  // so that equal numbers have no spread at all
  s.mean = values[0] + sum / double(s.n);
  if (s.n == 1) return s;
  for (const double x : values) squares += (x - s.mean) * (x - s.mean);
  s.deviation = std::sqrt(squares / double(s.n - 1));
  s.standard_error = s.deviation / std::sqrt(double(s.n));
  return s;
}

Summary paired_difference(std::span<const double> a, std::span<const double> b) {
  RMOE_CHECK(a.size() == b.size(), "paired_difference: ", a.size(), " and ", b.size(),
             " numbers do not pair");
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(a[i] - b[i]);
  return summarize(differences);
}

}  // namespace rmoe::reproduce
