#include "train/routing_summary.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rmoe {

void RoutingSummary::add(const ModelOutput& output) {
  counts_.resize(output.layers.size());
  for (size_t layer = 0; layer < output.layers.size(); ++layer) {
    const RoutingStats& stats = output.layers[layer].routing;
    if (!stats.experts || stats.experts.device() != Device::cpu) continue;
    counts_[layer].resize(experts_);
    for (int32_t e : stats.experts.span<int32_t>()) ++counts_[layer][e];
    const Tensor probs = to(stats.probs.value(), DType::f32);  // [N,E]
    for (float p : probs.span<float>())
      if (p > 0) entropy_sum_ -= double(p) * std::log(double(p));
    rows_ += probs.dim(0);
    dropped_ += stats.dropped;
    assignments_ += stats.experts.numel();
  }
}

double RoutingSummary::load() const {
  double worst = 0;
  for (const auto& counts : counts_) {
    const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    if (total > 0)
      worst = std::max(worst, double(*std::max_element(counts.begin(), counts.end())) * experts_ / total);
  }
  return worst;
}

}  // namespace rmoe
