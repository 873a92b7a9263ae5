#include "autograd/tape.hpp"

#include "engine/flops.hpp"
#include "engine/profile.hpp"

#include <algorithm>

namespace rmoe {

std::vector<Var> make_outputs(const std::vector<Tensor>& values, bool differentiable);

namespace {

using Slots = std::vector<std::shared_ptr<GradSlot>>;

struct Entry {
  const char* op;
  Slots inputs, outputs;
  BackwardMany backward;
};

struct Tape {
  std::vector<Entry> entries;
  bool enabled = true;
};

thread_local Tape* current = nullptr;

Tape& tape() {
  thread_local Tape root;
  return current ? *current : root;
}

/// A tape of its own for the second run of a recomputed segment.
class NestedTape {
 public:
  NestedTape() : before_(current) { current = &own_; }
  ~NestedTape() { current = before_; }

 private:
  Tape own_;
  Tape* before_;
};

Slots slots_of(const Vars& vars) {
  Slots slots;
  slots.reserve(vars.size());
  for (const Var& v : vars) slots.push_back(v.slot());
  return slots;
}

bool any_requires_grad(const Vars& vars) {
  return std::any_of(vars.begin(), vars.end(), [](const Var& v) { return v.requires_grad(); });
}

void add_to(GradSlot& slot, const Tensor& grad) {
  RMOE_CHECK(grad.shape() == slot.shape && grad.dtype() == slot.dtype, "gradient ", grad.dtype(),
             grad.shape(), " does not fit a value ", slot.dtype, slot.shape);
  if (!slot.filled) {
    if (slot.leaf && slot.grad)
      copy(slot.grad, grad);  // a parameter keeps its buffer
    else
      slot.grad = slot.leaf ? clone(grad) : grad;
  } else {
    if (!slot.grad.unique()) slot.grad = clone(slot.grad);  // somebody else reads it: leave theirs alone
    accumulate(slot.grad, grad);
  }
  slot.filled = true;
}

/// The gradients that reached an op's outputs, taken out of their slots; empty if none did.
Tensors take_gradients(Slots& outputs) {
  const bool reached = std::any_of(outputs.begin(), outputs.end(), [](const auto& s) { return s->filled; });
  if (!reached) return {};
  Tensors dys;
  for (auto& slot : outputs) {
    dys.push_back(slot->filled ? std::move(slot->grad) : zeros(slot->shape, slot->dtype, slot->device));
    slot->grad = Tensor();
    slot->filled = false;
  }
  return dys;
}

double bytes_of(const Tensors& tensors) {
  double bytes = 0;
  for (const Tensor& t : tensors) bytes += double(t.bytes());
  return bytes;
}

double bytes_of(const Slots& slots) {
  double bytes = 0;
  for (const auto& s : slots)
    if (s) bytes += double(s->shape.numel() * size_of(s->dtype));
  return bytes;
}

/// What an op reads and writes at least: its inputs and outputs going forward; going back the gradients of
/// both, and those inputs again.
void profile_forward(const char* op, const Tensors& ys, const Vars& inputs) {
  if (!profile::running()) return;
  double bytes = bytes_of(ys);
  for (const Var& x : inputs) bytes += double(x.value().bytes());
  profile::mark(op, profile::Pass::forward, bytes);
}

void profile_backward(const Entry& entry, double bytes_of_dys) {
  if (profile::running())
    profile::mark(entry.op, profile::Pass::backward, bytes_of_dys + 2 * bytes_of(entry.inputs));
}

void append(Entry entry) {
  for (const auto& slot : entry.inputs)
    if (slot && slot->leaf) ++slot->readers;
  tape().entries.push_back(std::move(entry));
}

void run(const Entry& entry, Tensors dys) {
  Grads grads(entry.op, entry.inputs);
  entry.backward(dys, grads);
  const double bytes = bytes_of(dys);
  dys.clear();  // what shared them can be added to in place
  grads.finish();
  profile_backward(entry, bytes);
}

void replay(Tape& t, const LeafDone& done) {
  while (!t.entries.empty()) {
    Entry entry = std::move(t.entries.back());
    t.entries.pop_back();
    if (Tensors dys = take_gradients(entry.outputs); !dys.empty()) run(entry, std::move(dys));
    for (const auto& slot : entry.inputs)
      if (slot && slot->leaf && --slot->readers == 0 && done) done(*slot);
  }
}

void backward_from(const Vars& outputs, const Tensors& cotangents, const LeafDone& done) {
  RMOE_CHECK(outputs.size() == cotangents.size(), "backward: ", cotangents.size(), " cotangents for ",
             outputs.size(), " outputs");
  RMOE_CHECK(any_requires_grad(outputs), "backward: nothing here depends on a parameter");
  const NoGrad guard;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].requires_grad()) add_to(*outputs[i].slot(), cotangents[i]);
  replay(tape(), done);
}

}  // namespace

void Grads::give(int i, const Tensor& grad) {
  if (!wants(i)) return;
  GradSlot& slot = *slots_[i];
  arrived_ |= uint64_t{1} << i;
  if (slot.filled && !slot.grad.unique())
    apart_.emplace_back(i, grad);  // may be shared with what this closure reads: later
  else
    add_to(slot, grad);
}

Place Grads::place(int i) {
  RMOE_CHECK(wants(i), op_, ": placed a gradient that input ", i, " does not want");
  GradSlot& slot = *slots_[i];
  arrived_ |= uint64_t{1} << i;
  const bool add = slot.filled;
  if (add && !slot.grad.unique() && placed_before(i)) {  // the closure may still be writing there
    apart_.emplace_back(i, empty(slot.shape, slot.dtype, slot.device));
    return {apart_.back().second, 0.0};
  }
  if (!slot.grad)
    slot.grad = empty(slot.shape, slot.dtype, slot.device);
  else if (add && !slot.grad.unique())
    slot.grad = clone(slot.grad);
  slot.filled = true;
  placed_ |= uint64_t{1} << i;
  return {slot.grad, add ? 1.0 : 0.0};
}

bool Grads::placed_before(int i) const {
  for (size_t j = 0; j < slots_.size(); ++j)
    if ((placed_ >> j & 1) && slots_[j] == slots_[i]) return true;
  return false;
}

void Grads::finish() {
  for (const auto& [i, grad] : apart_) add_to(*slots_[i], grad);
  for (size_t i = 0; i < slots_.size(); ++i)
    RMOE_CHECK(!wants(i) || (arrived_ >> i & 1), op_, ": backward gave no gradient for input ", i);
}

Vars record(const char* op, const Tensors& ys, const Vars& inputs, BackwardMany backward) {
  profile_forward(op, ys, inputs);
  const bool differentiable = grad_enabled() && any_requires_grad(inputs);
  Vars outputs = make_outputs(ys, differentiable);
  if (!differentiable) return outputs;
  append({op, slots_of(inputs), slots_of(outputs), std::move(backward)});
  return outputs;
}

Var record(const char* op, const Tensor& y, const Vars& inputs, Backward backward) {
  return record(op, Tensors{y}, inputs,
                [backward = std::move(backward)](const Tensors& dys, Grads& d) { backward(dys[0], d); })[0];
}

void no_gradient(const char* op, const Vars& inputs) {
  RMOE_CHECK(!grad_enabled() || !any_requires_grad(inputs), op, ": has no gradient; detach its inputs");
}

void backward(const Var& loss, const LeafDone& done) {
  RMOE_CHECK(loss.value().numel() == 1, "backward: the loss has shape ", loss.shape(),
             ", wanted one element");
  backward_from({loss}, {full(loss.shape(), 1, loss.value().dtype(), loss.value().device())}, done);
}

void backward(const Vars& outputs, const Tensors& cotangents) { backward_from(outputs, cotangents, {}); }

bool grad_enabled() { return tape().enabled; }

NoGrad::NoGrad() : before_(std::exchange(tape().enabled, false)) {}
NoGrad::~NoGrad() { tape().enabled = before_; }

namespace {

Vars run_again(const std::function<Vars(const Vars&)>& segment, const Vars& inputs) {
  const UncountedFlops guard;
  return segment(inputs);
}

}  // namespace

Vars recompute(const std::function<Vars(const Vars&)>& segment, const Vars& inputs) {
  if (!grad_enabled()) return segment(inputs);
  Tensors ys;
  {
    const NoGrad guard;
    for (const Var& y : segment(inputs)) ys.push_back(y.value());
  }
  Vars outputs =
      make_outputs(ys, true);  // leaves inside the segment may need a gradient even if no input does
  Vars kept = inputs;
  append({"recompute", slots_of(inputs), slots_of(outputs), [=](const Tensors& dys, Grads& d) {
            const NestedTape nested;
            Vars again;
            for (const Var& x : kept) again.push_back(make_outputs({x.value()}, x.requires_grad())[0]);
            backward(run_again(segment, again), dys);
            for (size_t i = 0; i < again.size(); ++i) {
              if (!d.wants(i)) continue;
              const Tensor dx = again[i].grad(), x = again[i].value();
              d.give(i, dx ? dx : zeros(x.shape(), x.dtype(), x.device()));
            }
          }});
  return outputs;
}

}  // namespace rmoe
