#include "train/reproduce/statistics.hpp"

#include "engine/error.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <vector>

namespace rmoe::reproduce {

TEST_CASE("statistics: mean, sample deviation and standard error by hand") {
  // Mean 3; squares 4 + 1 + 9 = 14, / 2 = 7.
  const Summary s = summarize(std::vector<double>{1, 2, 6});
  CHECK(s.n == 3);
  CHECK(s.mean == doctest::Approx(3).epsilon(1e-15));
  CHECK(s.deviation == doctest::Approx(std::sqrt(7.0)).epsilon(1e-15));
  CHECK(s.standard_error == doctest::Approx(std::sqrt(7.0 / 3)).epsilon(1e-15));
}

TEST_CASE("statistics: one number has no spread, none has no mean") {
  const Summary one = summarize(std::vector<double>{5});
  CHECK(one.mean == 5);
  CHECK(std::isnan(one.deviation));
  CHECK(std::isnan(one.standard_error));
  CHECK(summarize({}).n == 0);
  CHECK(std::isnan(summarize({}).mean));
}

TEST_CASE("statistics: equal numbers have no spread, not even that of rounding") {
  CHECK(summarize(std::vector<double>{0.1, 0.1, 0.1}).deviation == 0);
}

TEST_CASE("statistics: what the seed does to both sides of a pair cancels") {
  // Differences -0.01, -0.03: mean -0.02, deviation 0.01 sqrt(2), standard error 0.01.
  const Summary d = paired_difference(std::vector<double>{1.99, 4.97}, std::vector<double>{2, 5});
  CHECK(d.n == 2);
  CHECK(d.mean == doctest::Approx(-0.02).epsilon(1e-12));
  CHECK(d.deviation == doctest::Approx(0.01 * std::sqrt(2.0)).epsilon(1e-12));
  CHECK(d.standard_error == doctest::Approx(0.01).epsilon(1e-12));
  CHECK_THROWS_AS(paired_difference(std::vector<double>{1}, std::vector<double>{1, 2}), Error);
}

}  // namespace rmoe::reproduce
