// The optimizer over all trainable parameters of a model. Moments are fp32 and made at the start.
#pragma once

#include "autograd/tape.hpp"
#include "engine/comm/sharded_range.hpp"
#include "models/scope.hpp"
#include "ops/optimizer/optimizer.hpp"
#include "train/config.hpp"
#include "train/ranks.hpp"
#include "train/safetensors.hpp"

#include <optional>

namespace rmoe {

/// With several ranks and optimizer.shard (ZeRO-1, Rajbhandari et al. 2020) a rank keeps the moments of its
/// range of all parameters alone, updates that, and gets the rest from the others. What is saved is whole all
/// the same.
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config, const Parameters& parameters, Ranks& ranks = alone());

  // Every rank calls these.
  /// Global norm of all gradients, f64 [] on the device; one that is missing is an error naming its
  /// parameter.
  Tensor grad_norm() const;
  /// Update number `step` (1-based) with the gradients times grad_scale, f64 [] on the device. Gradients are
  /// forgotten afterwards.
  void step(int64_t step, double lr, const Tensor& grad_scale);
  /// `m.<key>` and `v.<key>` for the checkpoint, and back.
  std::vector<NamedTensor> state() const;
  void restore(const std::vector<NamedTensor>& saved);

 private:
  struct Slot {
    std::string name;
    Var var;
    Tensor master;
    double weight_decay;
  };
  /// What this rank updates: a slot, or a slice of one.
  struct Piece {
    Slice slice;
    AdamParameter adam;  // flat; but for the gradient
  };
  void add_piece(const Slice& slice);
  std::vector<AdamParameter> with_gradients() const;
  std::vector<NamedTensor> whole(const std::string& prefix, Tensor AdamParameter::*moment) const;

  OptimizerConfig config_;
  Ranks& ranks_;
  std::vector<Slot> slots_;
  std::optional<ShardedRange> sharded_;
  std::vector<Piece> pieces_;
};

}  // namespace rmoe
