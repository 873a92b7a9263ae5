// A model's gradients summed over ranks, beginning while backward is still computing others.
#pragma once

#include "autograd/tape.hpp"
#include "engine/comm/gradient_buckets.hpp"
#include "models/model.hpp"
#include "train/optimizer.hpp"
#include "train/ranks.hpp"

#include <map>
#include <vector>

namespace rmoe {

class GradientSums {
 public:
  /// Every parameter's gradient over the ranks that hold it; where the optimizer cuts it, only its owners get
  /// the sum.
  GradientSums(Ranks& ranks, const Model& model, const Optimizer& optimizer);

  /// For the last backward pass of a step; empty with one rank, and where recompute() hides what is complete.
  LeafDone listener();
  /// After it: waits in the stream until all sums are there.
  void finish();

 private:
  /// Parameters that the same ranks hold.
  struct Share {
    std::vector<Var> leaves;  // in the order of creation
    std::vector<bool> told;
    GradientBuckets buckets;
  };
  struct Place {
    size_t share, leaf;
  };
  std::vector<Share> shares_;  // none with one rank
  std::map<const GradSlot*, Place> places_;
  bool listens_;
};

}  // namespace rmoe
