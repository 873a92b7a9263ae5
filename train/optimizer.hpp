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

/// With several ranks and optimizer.shard (ZeRO-1, Rajbhandari et al. 2020) a rank keeps moments and masters
/// of its range of all parameters alone: it needs the sums of those gradients only, updates that range, and
/// gets the rest of the weights from the others. Experts that are spread over ranks are cut among those that
/// hold the same ones. What is saved is whole all the same.
class Optimizer {
 public:
  /// `parameters` must outlive the optimizer, and lose the masters that are cut among ranks.
  Optimizer(const OptimizerConfig& config, Parameters& parameters, Ranks& ranks = alone());

  /// Whose gradients each of their holders needs, of the trainable parameters that are spread, or of the
  /// others; empty: everybody all.
  const std::optional<ShardedRange>& sharded(bool spread) const { return shares_[spread].sharded; }

  // Every rank calls these.
  /// Global norm of all gradients, f64 [] on the device; one that is missing is an error naming its
  /// parameter.
  Tensor grad_norm() const;
  /// Update number `step` (1-based) with the gradients times grad_scale, f64 [] on the device. Gradients are
  /// forgotten afterwards.
  void step(int64_t step, double lr, const Tensor& grad_scale);
  /// For the checkpoint: the masters of all parameters; `m.<key>` and `v.<key>` of the trainable ones. What
  /// is cut or spread comes to the first, on the CPU; to the others nothing.
  std::vector<NamedTensor> weights() const;
  std::vector<NamedTensor> state() const;
  /// And back; `what` says where they come from.
  void restore(const std::string& what, const std::vector<NamedTensor>& weights,
               const std::vector<NamedTensor>& state);
  void restore_weights(const std::string& what, const std::vector<NamedTensor>& weights);

 private:
  /// Parameters that the same ranks hold.
  struct Share {
    Communicator* holders = nullptr;
    std::optional<ShardedRange> sharded = {};
    size_t first = 0;  // of their slots
  };
  struct Slot {
    Parameter* parameter;  // whose master is undefined if it is cut
    double weight_decay;
  };
  /// What this rank updates: a slot, or a slice of one.
  struct Piece {
    Slice slice;
    AdamParameter adam;  // flat; but for the gradient
  };
  void add_slots(bool spread);
  void add_piece(const Slice& slice);
  AdamParameter with_gradient(const Piece& piece) const;
  std::vector<NamedTensor> whole_of_all(const std::string& prefix, Tensor AdamParameter::*what) const;
  Tensor whole(size_t slot, Tensor AdamParameter::*what) const;
  Tensor all_experts(const Parameter& p, const Tensor& mine) const;
  Shape whole_shape(const Parameter& p) const;
  Tensor my_experts(const Parameter& p, const Tensor& all) const;
  void restore_state(const std::string& what, const std::vector<NamedTensor>& state);

  OptimizerConfig config_;
  Parameters& parameters_;
  Ranks& ranks_;
  Share shares_[2];          // of what is not spread, and of what is
  std::vector<Slot> slots_;  // in this order
  std::vector<Piece> pieces_;
};

}  // namespace rmoe
