#include "train/choose.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace rmoe {

int32_t likeliest(std::span<const float> logits) {
  return int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

int32_t choose_token(std::span<const float> logits, const ChoiceOptions& options, double u) {
  if (options.temperature == 0) return likeliest(logits);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  if (options.top_k > 0 || options.top_p < 1) {  // likeliest first; else the order of ids does as well
    const auto likelier = [&](int32_t a, int32_t b) {
      return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
    };
    const size_t kept = options.top_k > 0 ? std::min(order.size(), size_t(options.top_k)) : order.size();
    std::partial_sort(order.begin(), order.begin() + kept, order.end(), likelier);
    order.resize(kept);
  }
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weight;  // e^((z - z_max) / temperature)
  for (const int32_t token : order)
    weight.push_back(std::exp((logits[token] - highest) / options.temperature));
  double all = std::accumulate(weight.begin(), weight.end(), 0.0);
  if (options.top_p < 1) {
    double sum = 0;
    size_t n = 0;
    do sum += weight[n++];
    while (n < weight.size() && sum < options.top_p * all);
    order.resize(n);
    all = sum;
  }
  double left = u * all;
  for (size_t i = 0; i < order.size(); ++i)
    if ((left -= weight[i]) < 0) return order[i];
  return order.back();
}

}  // namespace rmoe
