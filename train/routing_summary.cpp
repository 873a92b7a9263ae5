#include "train/routing_summary.hpp"

#include "engine/readback.hpp"
#include "ops/entropy/entropy.hpp"
#include "ops/load_balance/load_balance.hpp"

#include <algorithm>
#include <map>

namespace rmoe {

void RoutingSummary::add(const ModelOutput& output) {
  for (size_t layer = 0; layer < output.layers.size(); ++layer) {
    const RoutingStats& stats = output.layers[layer].routing;
    if (!stats.experts) continue;
    const Tensor probs = stats.probs.value();  // [N,E]
    entries_.push_back({layer, expert_share(stats.experts, probs.dim(1)), entropy(probs), probs.dim(0),
                        stats.experts.numel(), stats.dropped});
  }
}

RoutingSummary::Numbers RoutingSummary::read() const {
  std::vector<Tensor> all;
  for (const Entry& e : entries_) all.insert(all.end(), {e.entropy, e.share});
  const std::vector<double> values = read_all(all);
  if (values.empty()) return {};

  double entropy_sum = 0;
  int64_t rows = 0, assignments = 0, dropped = 0;
  std::map<size_t, std::vector<double>> counts;  // assignments of each expert, by layer
  auto next = values.begin();
  for (const Entry& e : entries_) {
    entropy_sum += *next++;
    rows += e.rows;
    assignments += e.assignments;
    dropped += e.dropped;
    std::vector<double>& count = counts[e.layer];
    count.resize(e.share.numel());
    for (double& c : count) c += *next++ * double(e.assignments);
  }
  Numbers numbers{.entropy = entropy_sum / double(rows), .drop_ratio = double(dropped) / double(assignments)};
  const double mean = double(assignments) / double(entries_[0].share.numel()) / double(counts.size());
  for (const auto& [layer, count] : counts)
    numbers.load = std::max(numbers.load, *std::ranges::max_element(count) / mean);
  return numbers;
}

}  // namespace rmoe
