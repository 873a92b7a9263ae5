#include "train/gradient_sums.hpp"

namespace rmoe {

GradientSums::GradientSums(Ranks& ranks, const Model& model, const std::optional<ShardedRange>& sharded)
    : listens_(ranks.size() > 1 && !model.config().recompute) {
  if (ranks.size() == 1) return;
  std::vector<int64_t> sizes;
  for (const Parameter& p : model.parameters()) {
    listens_ = listens_ && !p.spread;
    if (!p.var.requires_grad() || p.spread) continue;
    position_[p.var.slot().get()] = int64_t(leaves_.size());
    leaves_.push_back(p.var);
    sizes.push_back(p.var.value().numel());
  }
  told_.resize(leaves_.size());
  buckets_.emplace(ranks.communicator(), sizes, sharded);
}

LeafDone GradientSums::listener() {
  if (!listens_) return {};
  return [this](const GradSlot& leaf) {
    const int64_t i = position_.at(&leaf);
    told_[size_t(i)] = true;
    buckets_->ready(i, leaf.grad);
  };
}

void GradientSums::finish() {
  if (!buckets_) return;
  for (size_t i = leaves_.size(); i-- > 0;)
    if (!told_[i]) buckets_->ready(int64_t(i), leaves_[i].grad());
  told_.assign(leaves_.size(), false);
  buckets_->finish();
}

}  // namespace rmoe
