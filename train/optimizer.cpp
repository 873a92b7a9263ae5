#include "train/optimizer.hpp"

#include "train/weights.hpp"

namespace rmoe {

Optimizer::Optimizer(const OptimizerConfig& config, const Parameters& parameters) : config_(config) {
  const auto zeros_like = [](const Tensor& x) { return zeros(x.shape(), x.dtype(), x.device()); };
  for (const Parameter& p : parameters) {
    if (!p.var.requires_grad()) continue;
    const bool rounded = p.var.value().dtype() != p.master.dtype();
    slots_.push_back(
        {p.name, p.var,
         AdamParameter{.value = p.master,
                       .grad = {},
                       .m = zeros_like(p.master),
                       .v = zeros_like(p.master),
                       .rounded = rounded ? p.var.value() : Tensor(),
                       .weight_decay = p.matrix || config.decay == "all" ? config.weight_decay : 0}});
    slots_.back().var.reserve_grad();
  }
}

Tensors Optimizer::gradients() const {
  Tensors grads;
  for (const Slot& slot : slots_) {
    grads.push_back(slot.var.grad());
    RMOE_CHECK(grads.back(), "optimizer: no gradient reached ", slot.name);
  }
  return grads;
}

void Optimizer::step(int64_t step, double lr, const Tensor& grad_scale) {
  std::vector<AdamParameter> parameters;
  for (const Slot& slot : slots_) {
    parameters.push_back(slot.adam);
    parameters.back().grad = slot.var.grad();
  }
  const AdamOptions options{.lr = lr,
                            .beta1 = config_.beta1,
                            .beta2 = config_.beta2,
                            .eps = config_.eps,
                            .decoupled = config_.name == "adamw"};
  adam_step(parameters, options, step, grad_scale);
  for (Slot& slot : slots_) slot.var.zero_grad();
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state;
  for (const Slot& slot : slots_) {
    state.push_back({"m." + slot.name, slot.adam.m});
    state.push_back({"v." + slot.name, slot.adam.v});
  }
  return state;
}

void Optimizer::restore(const std::vector<NamedTensor>& state) {
  assign("optimizer state", this->state(), state);
}

}  // namespace rmoe
