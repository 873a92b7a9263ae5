// Var: a value, and the slot its gradient arrives in. Copies are handles to both.
#pragma once

#include "engine/tensor.hpp"

#include <memory>
#include <vector>

namespace rmoe {

/// Where the gradient of one value is collected. The tape knows slots, not values, so a value that no
/// backward closure kept is freed as soon as the model lets go of it.
struct GradSlot {
  Shape shape;
  DType dtype;  // the value's; a leaf's is its accumulation type: fp32 also for bf16 parameters
  Device device;
  bool leaf;    // a parameter: the buffer stays for the next step
  Tensor grad;  // allocated by the first backward that reaches it
  bool filled = false;
  int readers = 0;  // ops on the tape that read a leaf, and so may still add to its gradient
};

class Var {
 public:
  Var() = default;                // undefined: an absent optional argument
  explicit Var(Tensor value);     // a constant: no gradient
  static Var leaf(Tensor value);  // takes a gradient: a parameter, or an input under gradcheck

  bool defined() const { return value_.defined(); }
  explicit operator bool() const { return defined(); }
  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  int64_t dim(int i) const { return value_.dim(i); }

  bool requires_grad() const { return slot_ != nullptr; }
  /// The gradient of a leaf after backward(); undefined if none arrived since zero_grad().
  Tensor grad() const { return slot_ && slot_->filled ? slot_->grad : Tensor(); }
  /// Takes the memory of the gradient now. A trainer does so before the first step, whose temporaries would
  /// otherwise be handed to gradients that stay, and be missing from the pool in the second.
  void reserve_grad();
  /// Forgets the gradient but keeps its buffer, which the next backward overwrites.
  void zero_grad();
  const std::shared_ptr<GradSlot>& slot() const { return slot_; }

 private:
  friend std::vector<Var> make_outputs(const std::vector<Tensor>& values, bool differentiable);
  static std::shared_ptr<GradSlot> make_slot(const Tensor& value, bool leaf);

  Tensor value_;
  std::shared_ptr<GradSlot> slot_;
};

/// The same value as a constant.
inline Var detach(const Var& x) { return x.defined() ? Var(x.value()) : Var(); }

}  // namespace rmoe
