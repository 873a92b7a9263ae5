#include "data/shards/permutation.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <numeric>
#include <vector>

namespace rmoe::test {
namespace {

std::vector<int64_t> images(int64_t n, uint64_t key) {
  const Permutation permutation(n, key);
  std::vector<int64_t> out(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) out[size_t(i)] = permutation(i);
  return out;
}

bool is_permutation(std::vector<int64_t> values) {
  std::ranges::sort(values);
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] != int64_t(i)) return false;
  return true;
}

}  // namespace

TEST_CASE("permutation: every number comes up once, whatever n is") {
  for (int64_t n = 1; n <= 300; ++n) CHECK(is_permutation(images(n, uint64_t(n) * 7)));
  for (const int64_t n : {4095, 4096, 4097, 65536, 65537}) CHECK(is_permutation(images(n, 1)));
}

TEST_CASE("permutation: large n stays within it") {
  const int64_t n = (int64_t{1} << 40) + 12345;
  const Permutation permutation(n, 3);
  for (const int64_t i : {int64_t{0}, int64_t{1}, n / 2, n - 1}) {
    CHECK(permutation(i) >= 0);
    CHECK(permutation(i) < n);
  }
}

TEST_CASE("permutation: every place is equally likely, and neighbours part") {
  const int64_t n = 10, keys = 20'000;
  for (const int64_t from : {0, 4, 9}) {
    std::vector<int64_t> counts(static_cast<size_t>(n));
    for (int64_t key = 0; key < keys; ++key) ++counts[size_t(Permutation(n, mix(5, uint64_t(key)))(from))];
    const double expected = double(keys) / double(n), sigma = std::sqrt(expected);
    for (const int64_t count : counts) CHECK(std::fabs(double(count) - expected) < 5 * sigma);
  }
  const auto order = images(100'000, 11);
  double distance = 0;
  for (size_t i = 1; i < order.size(); ++i) distance += std::fabs(double(order[i] - order[i - 1]));
  // Of two independent uniform numbers the mean distance is n / 3.
  CHECK(distance / double(order.size()) == doctest::Approx(100'000 / 3.0).epsilon(0.02));
}

}  // namespace rmoe::test
