#include "train/optimizer.hpp"

#include "engine/comm/gradient_buckets.hpp"
#include "ops/grad_norm/grad_norm.hpp"
#include "train/weights.hpp"

namespace rmoe {
namespace {

Tensor part_of(const Tensor& x, const Slice& slice) {
  return x.reshape({x.numel()}).rows(slice.begin, slice.end - slice.begin);
}

bool is_rounded(const Parameter& p) { return p.var.value().dtype() != acc_type(p.var.value().dtype()); }

}  // namespace

Optimizer::Optimizer(const OptimizerConfig& config, Parameters& parameters, Ranks& ranks)
    : config_(config), parameters_(parameters), ranks_(ranks) {
  std::vector<int64_t> sizes;
  for (Parameter& p : parameters) {
    if (!p.var.requires_grad()) continue;
    slots_.push_back({&p, p.matrix || config.decay == "all" ? config.weight_decay : 0});
    p.var.reserve_grad();
    sizes.push_back(p.var.value().numel());
  }
  if (config.shard && ranks.size() > 1) {
    sharded_.emplace(sizes, ranks.size());
    for (const Slice& slice : sharded_->owned_by(ranks.rank())) add_piece(slice);
    for (Slot& slot : slots_)
      if (is_rounded(*slot.parameter)) slot.parameter->master = Tensor();
  } else {
    for (size_t i = 0; i < sizes.size(); ++i) add_piece({int64_t(i), 0, sizes[i]});
  }
}

void Optimizer::add_piece(const Slice& slice) {
  const Slot& slot = slots_[size_t(slice.tensor)];
  const Parameter& p = *slot.parameter;
  const bool rounded = is_rounded(p);
  const Tensor part = part_of(p.master, slice), master = rounded && sharded_ ? clone(part) : part;
  const auto moment = [&] { return zeros(master.shape(), master.dtype(), master.device()); };
  pieces_.push_back({slice, AdamParameter{.value = master,
                                          .grad = {},
                                          .m = moment(),
                                          .v = moment(),
                                          .rounded = rounded ? part_of(p.var.value(), slice) : Tensor(),
                                          .weight_decay = slot.weight_decay}});
}

std::vector<AdamParameter> Optimizer::with_gradients() const {
  std::vector<AdamParameter> parameters;
  for (const Piece& piece : pieces_) {
    const Parameter& p = *slots_[size_t(piece.slice.tensor)].parameter;
    RMOE_CHECK(p.var.grad(), "optimizer: no gradient reached ", p.name);
    parameters.push_back(piece.adam);
    parameters.back().grad = part_of(p.var.grad(), piece.slice);
  }
  return parameters;
}

Tensor Optimizer::grad_norm() const {
  Tensors grads;
  for (const AdamParameter& p : with_gradients()) grads.push_back(p.grad);
  if (!sharded_) return global_norm(grads);
  const Device device = slots_[0].parameter->var.value().device();
  const Tensor mine = grads.empty() ? zeros({}, DType::f64, device) : global_norm(grads);
  const Tensor all = empty({ranks_.size()}, DType::f64, device);
  ranks_.communicator().all_gather(all, mine.reshape({1}));
  return joined_norm(all);
}

void Optimizer::step(int64_t step, double lr, const Tensor& grad_scale) {
  const AdamOptions options{.lr = lr,
                            .beta1 = config_.beta1,
                            .beta2 = config_.beta2,
                            .eps = config_.eps,
                            .decoupled = config_.name == "adamw"};
  adam_step(with_gradients(), options, step, grad_scale);
  Tensors values;
  for (const Slot& slot : slots_) {
    slot.parameter->var.zero_grad();
    values.push_back(slot.parameter->var.value());
  }
  if (sharded_) gather_parameters(ranks_.communicator(), *sharded_, values);
}

/// What all ranks keep of one slot's master or moment.
Tensor Optimizer::whole(size_t slot, Tensor AdamParameter::*what) const {
  const Tensor& value = slots_[slot].parameter->var.value();
  if (!sharded_) return (pieces_[slot].adam.*what).reshape(value.shape());
  const Tensor all = empty_like(value, value.shape(), acc_type(value.dtype()));
  for (const Piece& piece : pieces_)
    if (piece.slice.tensor == int64_t(slot)) copy(part_of(all, piece.slice), piece.adam.*what);
  gather_parameter(ranks_.communicator(), *sharded_, int64_t(slot), all);
  return ranks_.is_first() ? to(all, Device::cpu) : Tensor();
}

std::vector<NamedTensor> Optimizer::whole_of_all(const std::string& prefix,
                                                 Tensor AdamParameter::*what) const {
  std::vector<NamedTensor> all;
  for (size_t i = 0; i < slots_.size(); ++i)
    all.push_back({prefix + slots_[i].parameter->name, whole(i, what)});
  return all;
}

std::vector<NamedTensor> Optimizer::weights() const {
  std::vector<NamedTensor> all;
  size_t slot = 0;
  for (const Parameter& p : parameters_) {
    all.push_back({p.name, p.master ? p.master : whole(slot, &AdamParameter::value)});
    slot += p.var.requires_grad();
  }
  return all;
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state = whole_of_all("m.", &AdamParameter::m);
  for (const NamedTensor& v : whole_of_all("v.", &AdamParameter::v)) state.push_back(v);
  return state;
}

void Optimizer::restore_weights(const std::string& what, const std::vector<NamedTensor>& weights) {
  std::vector<NamedShape> wanted;
  for (const Parameter& p : parameters_) wanted.push_back({p.name, p.var.shape()});
  const Tensors found = find_all(what, wanted, weights);
  for (size_t i = 0; i < parameters_.size(); ++i)
    copy(parameters_[i].master ? parameters_[i].master : parameters_[i].var.value(), found[i]);
  for (const Piece& piece : pieces_) {
    const Parameter* p = slots_[size_t(piece.slice.tensor)].parameter;
    if (!p->master) copy(piece.adam.value, part_of(found[size_t(p - parameters_.data())], piece.slice));
  }
  round_from_masters(parameters_);
}

void Optimizer::restore_state(const std::string& what, const std::vector<NamedTensor>& state) {
  std::vector<NamedShape> wanted;
  for (const std::string prefix : {"m.", "v."})
    for (const Slot& slot : slots_)
      wanted.push_back({prefix + slot.parameter->name, slot.parameter->var.shape()});
  const Tensors found = find_all(what, wanted, state);
  for (const Piece& piece : pieces_) {
    const size_t i = size_t(piece.slice.tensor);
    copy(piece.adam.m, part_of(found[i], piece.slice));
    copy(piece.adam.v, part_of(found[i + slots_.size()], piece.slice));
  }
}

void Optimizer::restore(const std::string& what, const std::vector<NamedTensor>& weights,
                        const std::vector<NamedTensor>& state) {
  restore_weights(what, weights);
  restore_state(what, state);
}

}  // namespace rmoe
