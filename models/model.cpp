#include "models/model.hpp"

#include "ops/elementwise/elementwise.hpp"
#include "ops/linear_cross_entropy/linear_cross_entropy.hpp"
#include "ops/load_balance/load_balance.hpp"
#include "ops/reshape/reshape.hpp"

namespace rmoe {

Model::Net Model::make_net(uint64_t seed, DType dtype, Device device) {
  const Scope scope(parameters_, seed, dtype, device);
  if (config_.kind == "lm") return Net(std::in_place_type<Lm>, scope, config_, router_);
  RMOE_CHECK(config_.kind == "llama", "model: kind \"", config_.kind, "\", wanted \"lm\" or \"llama\"");
  return Net(std::in_place_type<Llama>, scope, config_, router_);
}

Model::Model(const ModelConfig& config, const RouterConfig& router, uint64_t seed, DType dtype, Device device)
    : config_(config), router_(router), net_(make_net(seed, dtype, device)) {}

ModelOutput Model::operator()(const Tensor& tokens, const Memory& memory, const Context& context) const {
  return std::visit([&](const auto& net) { return net(tokens, memory, context); }, net_);
}

Memory Model::initial_memory(int64_t B) const {
  return std::visit([&](const auto& net) { return net.initial_memory(B); }, net_);
}

Tensors Model::gate_matrices() const {
  return std::visit([](const auto& net) { return net.gate_matrices(); }, net_);
}

Var token_loss(const ModelOutput& output, const Tensor& targets) {
  const int64_t N = targets.numel(), C = output.hidden.dim(-1);
  const auto& [weight, bias] = output.head;
  return linear_cross_entropy(reshape(output.hidden, {N, C}), weight, bias, targets.reshape({N}));
}

Losses losses(const ModelOutput& output, const Tensor& targets, const RouterConfig& router,
              const Tensors& shares) {
  Losses l;
  l.loss = token_loss(output, targets);
  for (size_t i = 0; i < output.layers.size(); ++i) {
    const RoutingStats& routing = output.layers[i].routing;
    if (!routing.probs) continue;
    const Tensor share =
        shares.empty() ? expert_share(routing.experts, routing.probs.dim(1)) : shares[i];  // [E]
    const Var balance = load_balance(routing.probs, share);
    l.balance = l.balance ? add(l.balance, balance) : balance;
  }
  if (l.balance && router.balance_weight != 0) l.router = scale(l.balance, router.balance_weight);
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
    counts.active += expert ? n / model.config().experts * model.config().top_k : n;
  }
  return counts;
}

}  // namespace rmoe
