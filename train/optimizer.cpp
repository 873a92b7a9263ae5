#include "train/optimizer.hpp"

#include "engine/comm/gradient_buckets.hpp"
#include "ops/grad_norm/grad_norm.hpp"
#include "train/weights.hpp"

#include <algorithm>

namespace rmoe {
namespace {

Tensor part_of(const Tensor& x, const Slice& slice) {
  return x.reshape({x.numel()}).rows(slice.begin, slice.end - slice.begin);
}

bool is_rounded(const Parameter& p) { return p.var.value().dtype() != acc_type(p.var.value().dtype()); }

}  // namespace

Optimizer::Optimizer(const OptimizerConfig& config, Parameters& parameters, Ranks& ranks)
    : config_(config), parameters_(parameters), ranks_(ranks) {
  for (const bool spread : {false, true}) add_slots(spread);
}

void Optimizer::add_slots(bool spread) {
  Share& share = shares_[spread];
  share = {&ranks_.holders(spread), {}, slots_.size()};
  std::vector<int64_t> sizes;
  for (Parameter& p : parameters_) {
    if (!p.var.requires_grad() || p.spread != spread) continue;
    slots_.push_back({&p, p.matrix || config_.decay == "all" ? config_.weight_decay : 0});
    p.var.reserve_grad();
    sizes.push_back(p.var.value().numel());
  }
  const auto first = int64_t(share.first);
  if (!config_.shard || share.holders->size() == 1) {
    for (size_t i = 0; i < sizes.size(); ++i) add_piece({first + int64_t(i), 0, sizes[i]});
    return;
  }
  share.sharded.emplace(sizes, share.holders->size());
  for (const Slice& slice : share.sharded->owned_by(share.holders->rank()))
    add_piece({first + slice.tensor, slice.begin, slice.end});
  for (size_t i = share.first; i < slots_.size(); ++i)
    if (is_rounded(*slots_[i].parameter)) slots_[i].parameter->master = Tensor();
}

void Optimizer::add_piece(const Slice& slice) {
  const Slot& slot = slots_[size_t(slice.tensor)];
  const Parameter& p = *slot.parameter;
  const bool rounded = is_rounded(p), cut = shares_[p.spread].sharded.has_value();
  const Tensor part = part_of(p.master, slice), master = rounded && cut ? clone(part) : part;
  const auto moment = [&] { return zeros(master.shape(), master.dtype(), master.device()); };
  pieces_.push_back({slice, AdamParameter{.value = master,
                                          .grad = {},
                                          .m = moment(),
                                          .v = moment(),
                                          .rounded = rounded ? part_of(p.var.value(), slice) : Tensor(),
                                          .weight_decay = slot.weight_decay}});
}

AdamParameter Optimizer::with_gradient(const Piece& piece) const {
  const Parameter& p = *slots_[size_t(piece.slice.tensor)].parameter;
  RMOE_CHECK(p.var.grad(), "optimizer: no gradient reached ", p.name);
  AdamParameter adam = piece.adam;
  adam.grad = part_of(p.var.grad(), piece.slice);
  return adam;
}

/// What all ranks have the same of is everybody's. Of the rest a rank counts what it has alone, or is the
/// first to have.
Tensor Optimizer::grad_norm() const {
  Tensors mine, common;
  for (const Piece& piece : pieces_) {
    const bool spread = slots_[size_t(piece.slice.tensor)].parameter->spread;
    const Share& share = shares_[spread];
    if (share.sharded || (spread && share.holders->rank() == 0))
      mine.push_back(with_gradient(piece).grad);
    else if (!spread)
      common.push_back(with_gradient(piece).grad);
  }
  if (!sharded(false) && !ranks_.expert_group()) return global_norm(common);
  const int R = ranks_.size();
  const Tensor norms = zeros({R + 1}, DType::f64, slots_[0].parameter->var.value().device());
  const auto put = [&](int64_t i, const Tensors& grads) {
    if (!grads.empty()) copy(norms.rows(i, 1), global_norm(grads));
  };
  put(ranks_.rank(), mine);
  put(R, common);
  ranks_.communicator().all_gather(norms.rows(0, R), norms.rows(ranks_.rank(), 1));
  return joined_norm(norms);
}

void Optimizer::step(int64_t step, double lr, const Tensor& grad_scale) {
  const AdamOptions options{.lr = lr,
                            .beta1 = config_.beta1,
                            .beta2 = config_.beta2,
                            .eps = config_.eps,
                            .decoupled = config_.name == "adamw"};
  std::vector<AdamParameter> parameters;
  for (const Piece& piece : pieces_) parameters.push_back(with_gradient(piece));
  adam_step(parameters, options, step, grad_scale);
  Tensors held[2];
  for (const Slot& slot : slots_) {
    slot.parameter->var.zero_grad();
    held[slot.parameter->spread].push_back(slot.parameter->var.value());
  }
  for (const bool spread : {false, true})
    if (const auto& cut = sharded(spread)) gather_parameters(*shares_[spread].holders, *cut, held[spread]);
}

/// What this rank's group has of a parameter.
Tensor Optimizer::all_experts(const Parameter& p, const Tensor& mine) const {
  return p.spread ? gather_rows(*ranks_.expert_group(), mine) : mine;
}

/// What all ranks keep of one slot's master or moment.
Tensor Optimizer::whole(size_t slot, Tensor AdamParameter::*what) const {
  const Parameter& p = *slots_[slot].parameter;
  const Share& share = shares_[p.spread];
  const Tensor& value = p.var.value();
  const auto own = std::find_if(pieces_.begin(), pieces_.end(),
                                [&](const Piece& piece) { return piece.slice.tensor == int64_t(slot); });
  Tensor mine;
  if (share.sharded) {
    mine = empty_like(value, value.shape(), acc_type(value.dtype()));
    if (own != pieces_.end()) copy(part_of(mine, own->slice), own->adam.*what);
    gather_parameter(*share.holders, *share.sharded, int64_t(slot - share.first), mine);
  } else {
    mine = (own->adam.*what).reshape(value.shape());
    if (!p.spread) return mine;
  }
  const Tensor all = all_experts(p, mine);
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
  for (const Parameter& p : parameters_) {
    const auto slot =
        std::find_if(slots_.begin(), slots_.end(), [&](const Slot& s) { return s.parameter == &p; });
    const bool trained = slot != slots_.end();
    all.push_back({p.name, trained ? whole(size_t(slot - slots_.begin()), &AdamParameter::value)
                                   : all_experts(p, p.master)});
  }
  return all;
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state = whole_of_all("m.", &AdamParameter::m);
  for (const NamedTensor& v : whole_of_all("v.", &AdamParameter::v)) state.push_back(v);
  return state;
}

Shape Optimizer::whole_shape(const Parameter& p) const {
  const Shape shape = p.var.shape();
  return p.spread ? shape.with(0, shape[0] * ranks_.expert_group()->size()) : shape;
}

/// What this rank keeps of a whole parameter, or of its moment.
Tensor Optimizer::my_experts(const Parameter& p, const Tensor& all) const {
  if (!p.spread) return all;
  const int64_t rows = p.var.shape()[0];
  return all.rows(rows * ranks_.expert_group()->rank(), rows);
}

void Optimizer::restore_weights(const std::string& what, const std::vector<NamedTensor>& weights) {
  std::vector<NamedShape> wanted;
  for (const Parameter& p : parameters_) wanted.push_back({p.name, whole_shape(p)});
  const Tensors found = find_all(what, wanted, weights);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = parameters_[i];
    copy(p.master ? p.master : p.var.value(), my_experts(p, found[i]));
  }
  for (const Piece& piece : pieces_) {
    const Parameter& p = *slots_[size_t(piece.slice.tensor)].parameter;
    const Tensor& all = found[size_t(&p - parameters_.data())];
    if (!p.master) copy(piece.adam.value, part_of(my_experts(p, all), piece.slice));
  }
  round_from_masters(parameters_);
}

void Optimizer::restore_state(const std::string& what, const std::vector<NamedTensor>& state) {
  std::vector<NamedShape> wanted;
  for (const std::string prefix : {"m.", "v."})
    for (const Slot& slot : slots_)
      wanted.push_back({prefix + slot.parameter->name, whole_shape(*slot.parameter)});
  const Tensors found = find_all(what, wanted, state);
  for (const Piece& piece : pieces_) {
    const auto i = size_t(piece.slice.tensor);
    const Parameter& p = *slots_[i].parameter;
    copy(piece.adam.m, part_of(my_experts(p, found[i]), piece.slice));
    copy(piece.adam.v, part_of(my_experts(p, found[i + slots_.size()]), piece.slice));
  }
}

void Optimizer::restore(const std::string& what, const std::vector<NamedTensor>& weights,
                        const std::vector<NamedTensor>& state) {
  restore_weights(what, weights);
  restore_state(what, state);
}

}  // namespace rmoe
