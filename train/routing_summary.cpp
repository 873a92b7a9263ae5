#include "train/routing_summary.hpp"

#include "engine/readback.hpp"
#include "ops/entropy/entropy.hpp"
#include "ops/load_balance/load_balance.hpp"

#include <algorithm>
#include <numeric>

namespace rmoe {

void RoutingSummary::add(const ModelOutput& output) {
  for (size_t layer = 0; layer < output.layers.size(); ++layer) {
    const RoutingStats& stats = output.layers[layer].routing;
    if (!stats.experts) continue;
    const Tensor probs = stats.probs.value();  // [N,E]
    entries_.push_back({layer, expert_share(stats.experts, probs.dim(1)), entropy(probs), stats.kept,
                        probs.dim(0), stats.experts.numel()});
  }
}

RoutingSummary::Numbers RoutingSummary::read(
    const std::function<std::vector<double>(std::vector<double>)>& over_ranks) const {
  std::vector<Tensor> all;
  for (const Entry& e : entries_) all.insert(all.end(), {e.entropy, e.kept, e.share});
  const std::vector<double> values = read_all(all);
  if (values.empty()) return {};

  constexpr size_t kSums = 4;  // of entropies, rows, assignments, dropped ones
  const size_t E = size_t(entries_[0].share.numel());
  std::vector<double> sums(kSums);
  auto next = values.begin();
  for (const Entry& e : entries_) {
    sums[0] += *next++;
    sums[1] += double(e.rows);
    sums[2] += double(e.assignments);
    sums[3] += double(e.assignments) - *next++;
    sums.resize(std::max(sums.size(), kSums + (e.layer + 1) * E));
    for (size_t i = 0; i < E; ++i) sums[kSums + e.layer * E + i] += *next++ * double(e.assignments);
  }
  sums = over_ranks(std::move(sums));
  Numbers numbers{.entropy = sums[0] / sums[1], .drop_ratio = sums[3] / sums[2]};
  for (auto layer = sums.begin() + kSums; layer != sums.end(); layer += int64_t(E)) {
    const double total = std::accumulate(layer, layer + int64_t(E), 0.0);
    if (total > 0)
      numbers.load = std::max(numbers.load, *std::max_element(layer, layer + int64_t(E)) * double(E) / total);
  }
  return numbers;
}

}  // namespace rmoe
