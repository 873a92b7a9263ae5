#include "train/choose.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <vector>

namespace rmoe::test {
namespace {

/// How often each token comes out of evenly spread u.
std::map<int32_t, int> draws(const std::vector<float>& logits, const ChoiceOptions& options) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < 1000; ++i) ++counts[choose_token(logits, options, (i + 0.5) / 1000)];
  return counts;
}

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(float(std::log(p)));
  return logits;
}

}  // namespace

TEST_CASE("choose_token: draws follow the probabilities that temperature, top_k and top_p leave") {
  const std::vector<float> logits = logits_of({0.1, 0.4, 0.2, 0.3});
  using Counts = std::map<int32_t, int>;
  CHECK(draws(logits, {}) == Counts{{0, 100}, {1, 400}, {2, 200}, {3, 300}});
  CHECK(draws(logits, {.temperature = 0}) == Counts{{1, 1000}});
  CHECK(draws(logits, {.top_k = 1}) == Counts{{1, 1000}});
  CHECK(draws(logits, {.top_k = 2}) == Counts{{1, 571}, {3, 429}});
  CHECK(draws(logits, {.top_p = 0}) == Counts{{1, 1000}});
  CHECK(draws(logits, {.top_p = 0.6}) == Counts{{1, 571}, {3, 429}});
  CHECK(draws(logits, {.top_p = 0.8}) == Counts{{1, 444}, {2, 222}, {3, 334}});
  CHECK(draws(logits, {.top_p = 0.5, .top_k = 2}) == Counts{{1, 1000}});
  CHECK(draws(logits, {.temperature = 0.5}) == Counts{{0, 33}, {1, 534}, {2, 133}, {3, 300}});
  CHECK(draws({1, 2, 2, 1}, {.temperature = 0}) == Counts{{1, 1000}});  // the lowest id of equals
}

}  // namespace rmoe::test
