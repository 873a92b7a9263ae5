#include "train/serve/log_probs.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rmoe::serve {
namespace {

double log_sum_exp(std::span<const float> z) {
  const double highest = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (const float value : z) sum += std::exp(value - highest);
  return highest + std::log(sum);
}

std::vector<int32_t> best(std::span<const float> z, int64_t count) {
  const auto likelier = [&](int32_t a, int32_t b) { return z[a] > z[b] || (z[a] == z[b] && a < b); };
  std::vector<int32_t> order(z.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min<int64_t>(count, int64_t(z.size()));
  std::partial_sort(order.begin(), end, order.end(), likelier);
  return {order.begin(), end};
}

}  // namespace

TokenInfo describe(std::span<const float> logits, int32_t token, int64_t top) {
  const double all = log_sum_exp(logits);
  const auto log_prob = [&](int32_t t) { return float(double(logits[t]) - all); };
  TokenInfo info{.token = token, .log_prob = log_prob(token)};
  bool named = false;
  for (const int32_t t : best(logits, top)) {
    info.top.emplace_back(t, log_prob(t));
    named = named || t == token;
  }
  if (!named) info.top.emplace_back(token, info.log_prob);
  return info;
}

}  // namespace rmoe::serve
