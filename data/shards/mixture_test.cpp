#include "data/shards/mixture.hpp"

#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

/// The largest distance of any source from its share, over all prefixes of n samples.
double worst_error(const std::vector<double>& weights, int64_t n) {
  Mixture mixture(weights);
  double sum = 0, worst = 0;
  for (const double w : weights) sum += w;
  for (int64_t i = 1; i <= n; ++i) {
    mixture.next();
    for (size_t s = 0; s < weights.size(); ++s)
      worst = std::max(worst, std::fabs(weights[s] / sum * double(i) - double(mixture.taken()[s])));
  }
  return worst;
}

}  // namespace

TEST_CASE("mixture: no source is ever a whole sample away from its share") {
  for (const std::vector<double>& weights :
       std::vector<std::vector<double>>{{1},
                                        {0.7, 0.3},
                                        {1, 1, 1},
                                        {0.9, 0.05, 0.05},
                                        {5, 3, 2, 0.01},
                                        {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
                                        {0.3333, 0.3333, 0.3334, 1e-5}}) {
    CAPTURE(weights.size());
    CHECK(worst_error(weights, 20'000) < 1);
  }
}

TEST_CASE("mixture: it goes on from its counts alone") {
  const std::vector<double> weights{0.6, 0.25, 0.15};
  Mixture whole(weights);
  std::vector<int64_t> order;
  for (int i = 0; i < 500; ++i) order.push_back(whole.next());
  for (const int start : {0, 1, 17, 400}) {
    Mixture first(weights), second(weights);
    for (int i = 0; i < start; ++i) first.next();
    second.seek(first.taken());
    for (int i = start; i < 500; ++i) CHECK(second.next() == order[size_t(i)]);
  }
}

TEST_CASE("mixture: impossible weights and cursors are refused") {
  CHECK_THROWS_AS(Mixture(std::vector<double>{}), Error);
  CHECK_THROWS_WITH_AS(Mixture(std::vector<double>{1, 0}), "mixture: weight 0 is not a positive number",
                       Error);
  CHECK_THROWS_AS(Mixture(std::vector<double>{1, NAN}), Error);
  Mixture mixture(std::vector<double>{0.5, 0.5});
  mixture.next();
  const auto before = mixture.taken();
  CHECK_THROWS_WITH_AS(mixture.seek({1, 2, 3}), "mixture: a cursor of 3 sources, wanted 2", Error);
  CHECK_THROWS_AS(mixture.seek({10, 0}), Error);
  CHECK_THROWS_AS(mixture.seek({-1, -1}), Error);
  CHECK(mixture.taken() == before);
}

}  // namespace rmoe::test
