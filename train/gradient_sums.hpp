// A model's gradients summed over ranks, beginning while backward is still computing others.
#pragma once

#include "autograd/tape.hpp"
#include "engine/comm/gradient_buckets.hpp"
#include "models/model.hpp"
#include "train/ranks.hpp"

#include <map>
#include <optional>

namespace rmoe {

class GradientSums {
 public:
  /// With `sharded` only its owner gets the sum of a range. Parameters that are spread over ranks need no
  /// sum.
  GradientSums(Ranks& ranks, const Model& model, const std::optional<ShardedRange>& sharded);

  /// For the last backward pass of a step; empty with one rank, where recompute() hides what is complete, and
  /// where backward has collectives of its own.
  LeafDone listener();
  /// After it: waits in the stream until all sums are there.
  void finish();

 private:
  std::vector<Var> leaves_;                      // in the order of creation
  std::map<const GradSlot*, int64_t> position_;  // among them
  std::vector<bool> told_;
  std::optional<GradientBuckets> buckets_;  // with several ranks
  bool listens_;
};

}  // namespace rmoe
