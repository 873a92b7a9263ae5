// The optimizer over all trainable parameters of a model. Moments are fp32 and made at the first step.
#pragma once

#include "autograd/tape.hpp"
#include "models/scope.hpp"
#include "ops/optimizer/optimizer.hpp"
#include "train/config.hpp"
#include "train/safetensors.hpp"

namespace rmoe {

class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config, const Parameters& parameters);

  /// Gradients of the trainable parameters, for norms and clipping; a missing one is an error naming its
  /// parameter.
  Tensors gradients() const;
  /// Update number `step` (1-based) with the gradients times grad_scale, f64 [] on the device. Gradients are
  /// forgotten afterwards.
  void step(int64_t step, double lr, const Tensor& grad_scale);

  /// `m.<key>` and `v.<key>` for the checkpoint, and back.
  std::vector<NamedTensor> state() const;
  void restore(const std::vector<NamedTensor>& state);

 private:
  struct Slot {
    std::string name;
    Var var;
    AdamParameter adam;  // but for the gradient, which the Var has
  };
  OptimizerConfig config_;
  std::vector<Slot> slots_;
};

}  // namespace rmoe
