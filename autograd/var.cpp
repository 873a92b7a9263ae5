#include "autograd/var.hpp"

namespace rmoe {

Var::Var(Tensor value) : value_(std::move(value)) {}

Var Var::leaf(Tensor value) {
  Var x(std::move(value));
  x.slot_ = make_slot(x.value_, true);
  return x;
}

std::shared_ptr<GradSlot> Var::make_slot(const Tensor& value, bool leaf) {
  RMOE_CHECK(value.dtype() != DType::i32, "autograd: integers have no gradient");
  const DType dtype = leaf ? acc_type(value.dtype()) : value.dtype();
  return std::make_shared<GradSlot>(GradSlot{value.shape(), dtype, value.device(), leaf, Tensor()});
}

void Var::reserve_grad() {
  if (slot_ && !slot_->grad) slot_->grad = empty(slot_->shape, slot_->dtype, slot_->device);
}

void Var::zero_grad() {
  if (slot_) slot_->filled = false;
}

std::vector<Var> make_outputs(const std::vector<Tensor>& values, bool differentiable) {
  std::vector<Var> outputs;
  for (const Tensor& value : values) {
    outputs.emplace_back(value);
    if (differentiable) outputs.back().slot_ = Var::make_slot(value, false);
  }
  return outputs;
}

}  // namespace rmoe
