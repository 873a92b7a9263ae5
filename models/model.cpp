#include "models/model.hpp"

#include "ops/elementwise/elementwise.hpp"
#include "ops/linear_cross_entropy/linear_cross_entropy.hpp"
#include "ops/load_balance/load_balance.hpp"
#include "ops/reshape/reshape.hpp"
#include "ops/z_loss/z_loss.hpp"

#include <algorithm>

namespace rmoe {

Model::Net Model::make_net(uint64_t seed, DType dtype, Communicator* spread_over) {
  const Scope scope(parameters_, seed, dtype, device_, spread_over);
  if (config_.kind == "lm") return Net(std::in_place_type<Lm>, scope, config_, router_);
  RMOE_CHECK(config_.kind == "llama", "model: kind \"", config_.kind, "\", wanted \"lm\" or \"llama\"");
  return Net(std::in_place_type<Llama>, scope, config_, router_);
}

Model::Model(const ModelConfig& config, const RouterConfig& router, uint64_t seed, DType dtype, Device device,
             Communicator* spread_over)
    : config_(config), router_(router), device_(device), net_(make_net(seed, dtype, spread_over)) {}

ModelOutput Model::operator()(const Tensor& tokens, const Memory& memory, const Context& context) const {
  const Tensor here = to(tokens, device_);
  return std::visit([&](const auto& net) { return net(here, memory, context); }, net_);
}

Memory Model::initial_memory(int64_t B) const {
  return std::visit([&](const auto& net) { return net.initial_memory(B); }, net_);
}

Tensors Model::gate_matrices() const {
  return std::visit([](const auto& net) { return net.gate_matrices(); }, net_);
}

std::vector<LayerStats> with_experts(const std::vector<LayerStats>& layers) {
  std::vector<LayerStats> some;
  std::ranges::copy_if(layers, std::back_inserter(some),
                       [](const LayerStats& l) { return l.routing.probs.defined(); });
  return some;
}

Var token_loss(const ModelOutput& output, const Tensor& targets) {
  const int64_t N = targets.numel(), C = output.hidden.dim(-1);
  const auto& [weight, bias] = output.head;
  const Tensor here = to(targets, output.hidden.value().device());
  return linear_cross_entropy(reshape(output.hidden, {N, C}), weight, bias, here.reshape({N}));
}

namespace {

Var sum_of(const Var& a, const Var& b) { return a ? add(a, b) : b; }

/// "each": sum_i E sum_e f_ie P_ie. "joint": E sum_e f_e P_e with f and P the means over layers of f_i and
/// P_i, which all have as many tokens.
Var load_balance_of(const std::vector<const RoutingStats*>& layers, Tensors shares, bool joint) {
  if (joint) {
    const Tensor sum = clone(shares[0]);
    for (size_t i = 1; i < shares.size(); ++i) accumulate(sum, shares[i]);
    std::ranges::fill(shares, sum);
  }
  Var balance;
  for (size_t i = 0; i < layers.size(); ++i)
    balance = sum_of(balance, load_balance(layers[i]->probs, shares[i]));
  const double L = double(layers.size());
  return joint ? scale(balance, 1 / (L * L)) : balance;
}

}  // namespace

Losses losses(const ModelOutput& output, const Tensor& targets, const RouterConfig& router,
              const Tensors& shares) {
  Losses l;
  l.loss = token_loss(output, targets);
  std::vector<const RoutingStats*> layers;  // that have experts
  Tensors layer_shares;                     // [E] each
  for (size_t i = 0; i < output.layers.size(); ++i) {
    const RoutingStats& routing = output.layers[i].routing;
    if (!routing.probs) continue;
    layers.push_back(&routing);
    layer_shares.push_back(shares.empty() ? expert_share(routing.experts, routing.probs.dim(1)) : shares[i]);
    if (router.z_loss_weight != 0) l.z = sum_of(l.z, z_loss(routing.logits));
  }
  if (!layers.empty()) l.balance = load_balance_of(layers, layer_shares, router.balance_layers == "joint");
  if (l.balance && router.balance_weight != 0) l.router = scale(l.balance, router.balance_weight);
  if (l.z) l.router = sum_of(l.router, scale(l.z, router.z_loss_weight));
  l.total = l.router ? add(l.loss, l.router) : l.loss;
  return l;
}

ParameterCounts count_parameters(const Model& model) {
  const auto contains = [](const std::string& name, const char* part) {
    return name.find(part) != name.npos;
  };
  ParameterCounts counts;
  for (const Parameter& p : model.parameters()) {
    const int64_t n = p.var.value().numel();
    counts.total += n;
    if (p.var.requires_grad()) counts.trainable += n;
    if (p.name == "embed.weight") counts.embedding += n;
    if (contains(p.name, ".router.") || contains(p.name, "router_cell.")) counts.router += n;
    const bool expert = contains(p.name, ".experts.");
    const int64_t active = expert ? n / model.config().experts * model.config().top_k : n;
    counts.active += active;
    if (p.name == "embed.weight" || p.name.starts_with("head.")) continue;
    counts.non_embedding += n;
    counts.active_non_embedding += active;
  }
  return counts;
}

}  // namespace rmoe
