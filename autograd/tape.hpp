// The tape: ops append themselves as they run; backward() replays them from the back and frees them as it
// goes.
//
// An op computes its value and records how to go back:
//
//   return record("mul", y, {a, b}, [=](const Tensor& dy, Grads& d) {
//     if (d.wants(0)) d.give(0, product(dy, B));
//     if (d.wants(1)) d.give(1, product(dy, A));
//   });
//
// A closure must give or place every gradient that is wanted; the tape checks, so none is dropped in silence.
// An op that has no gradient calls no_gradient() instead.
#pragma once

#include "autograd/var.hpp"

#include <functional>
#include <string>
#include <vector>

namespace rmoe {

using Vars = std::vector<Var>;
using Tensors = std::vector<Tensor>;

/// Where a closure writes a gradient itself: into = beta * into + gradient. With beta = 0 `into` holds
/// garbage.
struct Place {
  Tensor into;
  double beta;
};

/// The gradients a closure owes, by position of the op's inputs.
class Grads {
 public:
  Grads(const char* op, const std::vector<std::shared_ptr<GradSlot>>& slots) : op_(op), slots_(slots) {}

  /// Does input i take a gradient?
  bool wants(int i) const { return slots_[i] != nullptr; }
  /// The gradient of input i is `grad` (a handle is kept; it is added to what other ops gave).
  void give(int i, const Tensor& grad);
  /// A buffer for input i, so that a matrix product can add into it directly. Once per input. Buffers held at
  /// the same time never overlap, even if two inputs are the same value.
  Place place(int i);
  /// After the closure: every wanted gradient has arrived, and is where it belongs.
  void finish();

 private:
  bool placed_before(int i) const;

  const char* op_;
  const std::vector<std::shared_ptr<GradSlot>>& slots_;
  uint64_t arrived_ = 0;                       // bit i: input i was given or placed
  uint64_t placed_ = 0;                        // bit i: input i was placed
  std::vector<std::pair<int, Tensor>> apart_;  // yet to be added to their inputs' slots
};

using Backward = std::function<void(const Tensor& dy, Grads& d)>;
using BackwardMany = std::function<void(const Tensors& dys, Grads& d)>;

/// Makes `y` a Var that depends on `inputs` (undefined ones are allowed and want nothing). Nothing is
/// recorded if no input takes a gradient or under NoGrad.
Var record(const char* op, const Tensor& y, const Vars& inputs, Backward backward);
/// The same for several outputs; an output that no loss depends on comes as zeros.
Vars record(const char* op, const Tensors& ys, const Vars& inputs, BackwardMany backward);
/// For ops without a gradient: an error if one would be needed.
void no_gradient(const char* op, const Vars& inputs);

/// Hears of every leaf whose gradient is complete, while backward goes on with others. Not of leaves that are
/// read inside of recompute(): those are complete at the end.
using LeafDone = std::function<void(const GradSlot& leaf)>;

/// d(loss)/d(everything it depends on). `loss` has one element; gradients add up in the leaves. Empties the
/// tape.
void backward(const Var& loss, const LeafDone& done = {});
/// The general form: sum_i <outputs_i, cotangents_i>.
void backward(const Vars& outputs, const Tensors& cotangents);

bool grad_enabled();

/// While it lives, ops record nothing.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;

 private:
  bool before_;
};

/// Runs `segment` without keeping what its backward needs, and runs it again when the backward comes
/// (activation checkpointing). `segment` must compute the same values each time; leaves it captures get their
/// gradients too.
Vars recompute(const std::function<Vars(const Vars&)>& segment, const Vars& inputs);

}  // namespace rmoe
