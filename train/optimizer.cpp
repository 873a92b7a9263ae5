#include "train/optimizer.hpp"

#include "engine/comm/gradient_buckets.hpp"
#include "ops/grad_norm/grad_norm.hpp"
#include "train/weights.hpp"

#include <cmath>

namespace rmoe {
namespace {

Tensor part_of(const Tensor& x, const Slice& slice) {
  return x.reshape({x.numel()}).rows(slice.begin, slice.end - slice.begin);
}

}  // namespace

Optimizer::Optimizer(const OptimizerConfig& config, const Parameters& parameters, Ranks& ranks)
    : config_(config), ranks_(ranks) {
  std::vector<int64_t> sizes;
  for (const Parameter& p : parameters) {
    if (!p.var.requires_grad()) continue;
    slots_.push_back({p.name, p.var, p.master, p.matrix || config.decay == "all" ? config.weight_decay : 0});
    slots_.back().var.reserve_grad();
    sizes.push_back(p.master.numel());
  }
  if (config.shard && ranks.size() > 1) {
    sharded_.emplace(sizes, ranks.size());
    for (const Slice& slice : sharded_->owned_by(ranks.rank())) add_piece(slice);
  } else {
    for (size_t i = 0; i < sizes.size(); ++i) add_piece({int64_t(i), 0, sizes[i]});
  }
}

void Optimizer::add_piece(const Slice& slice) {
  const Slot& slot = slots_[size_t(slice.tensor)];
  const Tensor master = part_of(slot.master, slice);
  const bool rounded = slot.var.value().dtype() != master.dtype();
  const auto moment = [&] { return zeros(master.shape(), master.dtype(), master.device()); };
  pieces_.push_back({slice, AdamParameter{.value = master,
                                          .grad = {},
                                          .m = moment(),
                                          .v = moment(),
                                          .rounded = rounded ? part_of(slot.var.value(), slice) : Tensor(),
                                          .weight_decay = slot.weight_decay}});
}

std::vector<AdamParameter> Optimizer::with_gradients() const {
  std::vector<AdamParameter> parameters;
  for (const Piece& piece : pieces_) {
    const Slot& slot = slots_[size_t(piece.slice.tensor)];
    RMOE_CHECK(slot.var.grad(), "optimizer: no gradient reached ", slot.name);
    parameters.push_back(piece.adam);
    parameters.back().grad = part_of(slot.var.grad(), piece.slice);
  }
  return parameters;
}

Tensor Optimizer::grad_norm() const {
  Tensors grads;
  for (const AdamParameter& p : with_gradients()) grads.push_back(p.grad);
  const Tensor norm = global_norm(grads);
  if (!sharded_) return norm;
  const double mine = norm.item();
  return full({}, std::sqrt(ranks_.sum({mine * mine})[0]), DType::f64, norm.device());
}

void Optimizer::step(int64_t step, double lr, const Tensor& grad_scale) {
  const AdamOptions options{.lr = lr,
                            .beta1 = config_.beta1,
                            .beta2 = config_.beta2,
                            .eps = config_.eps,
                            .decoupled = config_.name == "adamw"};
  adam_step(with_gradients(), options, step, grad_scale);
  for (Slot& slot : slots_) slot.var.zero_grad();
  if (!sharded_) return;
  Tensors masters;
  for (const Slot& slot : slots_) masters.push_back(slot.master);
  gather_parameters(ranks_.communicator(), *sharded_, masters);
  for (const Slot& slot : slots_)
    if (slot.var.value().dtype() != slot.master.dtype()) copy(slot.var.value(), slot.master);
}

/// One moment of every parameter: where it is kept, or put together from all who keep a part of it.
std::vector<NamedTensor> Optimizer::whole(const std::string& prefix, Tensor AdamParameter::*moment) const {
  std::vector<NamedTensor> all;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Tensor& like = slots_[i].master;
    const Tensor whole = sharded_ ? empty_like(like) : (pieces_[i].adam.*moment).reshape(like.shape());
    all.push_back({prefix + slots_[i].name, whole});
  }
  if (!sharded_) return all;
  Tensors tensors;
  for (const NamedTensor& t : all) tensors.push_back(t.tensor);
  for (const Piece& piece : pieces_)
    copy(part_of(tensors[size_t(piece.slice.tensor)], piece.slice), piece.adam.*moment);
  gather_parameters(ranks_.communicator(), *sharded_, tensors);
  return all;
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state = whole("m.", &AdamParameter::m);
  for (const NamedTensor& v : whole("v.", &AdamParameter::v)) state.push_back(v);
  return state;
}

void Optimizer::restore(const std::vector<NamedTensor>& saved) {
  const std::vector<NamedTensor> places = state();
  assign("optimizer state", places, saved);
  if (!sharded_) return;
  for (const Piece& piece : pieces_) {
    const size_t i = size_t(piece.slice.tensor);
    copy(piece.adam.m, part_of(places[i].tensor, piece.slice));
    copy(piece.adam.v, part_of(places[i + slots_.size()].tensor, piece.slice));
  }
}

}  // namespace rmoe
