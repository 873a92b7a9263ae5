#include "train/exact.hpp"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <doctest/doctest.h>
#include <limits>
#include <random>

namespace rmoe::test {

TEST_CASE("exact: numbers look like numbers with a fraction") {
  CHECK(exact(2) == "2.0");
  CHECK(exact(-0.0) == "-0.0");
  CHECK(exact(0.1) == "0.1");
  CHECK(exact(7e-4) == "7e-04");
  CHECK(exact(1e300) == "1e+300");
}

TEST_CASE("exact: any bits come back") {
  std::mt19937_64 bits(1);
  for (int i = 0; i < 100000; ++i) {
    const double value = std::bit_cast<double>(bits());
    if (!std::isfinite(value)) continue;
    const double back = std::strtod(exact(value).c_str(), nullptr);
    if (std::bit_cast<uint64_t>(back) != std::bit_cast<uint64_t>(value)) FAIL(exact(value));
  }
  CHECK(std::strtod(exact(std::numeric_limits<double>::denorm_min()).c_str(), nullptr) > 0);
}

}  // namespace rmoe::test
