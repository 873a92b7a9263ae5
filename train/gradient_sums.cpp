#include "train/gradient_sums.hpp"

namespace rmoe {

GradientSums::GradientSums(Ranks& ranks, const Model& model, const Optimizer& optimizer)
    : listens_(ranks.size() > 1 && !model.config().recompute) {
  if (ranks.size() == 1) return;
  for (const bool spread : {false, true}) {
    std::vector<Var> leaves;
    std::vector<int64_t> sizes;
    for (const Parameter& p : model.parameters()) {
      if (!p.var.requires_grad() || p.spread != spread) continue;
      places_[p.var.slot().get()] = {shares_.size(), leaves.size()};
      leaves.push_back(p.var);
      sizes.push_back(p.var.value().numel());
    }
    const std::vector<bool> told(leaves.size());
    shares_.push_back({leaves, told, {ranks.holders(spread), sizes, optimizer.sharded(spread)}});
  }
}

LeafDone GradientSums::listener() {
  if (!listens_) return {};
  return [this](const GradSlot& leaf) {
    const auto [share, i] = places_.at(&leaf);
    shares_[share].told[i] = true;
    shares_[share].buckets.ready(int64_t(i), leaf.grad);
  };
}

void GradientSums::finish() {
  for (Share& share : shares_) {
    for (size_t i = share.leaves.size(); i-- > 0;)
      if (!share.told[i]) share.buckets.ready(int64_t(i), share.leaves[i].grad());
    share.told.assign(share.leaves.size(), false);
  }
  for (Share& share : shares_) share.buckets.finish();
}

}  // namespace rmoe
