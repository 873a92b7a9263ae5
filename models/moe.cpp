#include "models/moe.hpp"

#include "engine/gemm.hpp"
#include "models/spread_experts.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/experts/experts.hpp"
#include "ops/reshape/reshape.hpp"
#include "ops/swiglu/swiglu.hpp"

#include <cmath>

namespace rmoe {
namespace {

/// "fastmoe": the original initialises the stacked 3-D tensor, which makes fan_in = out * in.
Init relu_expert_init(const ModelConfig& model, int64_t in, int64_t out) {
  return Init::fan_in(model.expert_init == "fastmoe" ? out * in : in);
}

}  // namespace

ReluExperts::ReluExperts(const Scope& scope, const ModelConfig& model)
    : dropout_p(model.dropout), path(scope.path_hash()) {
  const int64_t E = model.experts, F = model.expert_hidden, C = model.hidden;
  w1 = scope.parameter("w1", {E, F, C}, relu_expert_init(model, C, F));
  b1 = scope.parameter("b1", {E, F}, Init::constant(0));
  w2 = scope.parameter("w2", {E, C, F}, relu_expert_init(model, F, C));
  b2 = scope.parameter("b2", {E, C}, Init::constant(0));
}

// Dropout's masks follow the token, not the sorted row: a run with other routes drops the same units.
Var ReluExperts::operator()(const Var& x, const Routes& routes, const Var& gates, const Context& context,
                            int64_t T) const {
  const double p = context.training ? dropout_p : 0;
  const RandomStream random = context.random(path, T * routes.top_k * w1.dim(1));
  return relu_experts(x, routes, gates, w1, b1, w2, b2, p, random);
}

SwigluExperts::SwigluExperts(const Scope& scope, const ModelConfig& model) : ranks(scope.ranks()) {
  const int64_t E = model.experts, F = model.expert_hidden, C = model.hidden;
  const Init init = Init::normal(model.init_std);
  w1 = scope.spread_parameter("w1", {E, F, C}, init);
  w2 = scope.spread_parameter("w2", {E, C, F}, init);
  w3 = scope.spread_parameter("w3", {E, F, C}, init);
}

Var SwigluExperts::operator()(const Var& x, const Routes& routes, const Var& gates, const Context&,
                              int64_t) const {
  return ranks ? spread_swiglu_experts(x, routes, gates, w1, w3, w2, *ranks)
               : swiglu_experts(x, routes, gates, w1, w3, w2);
}

SwigluMlp::SwigluMlp(const Scope& scope, const ModelConfig& model, int64_t F) {
  const Init init = Init::normal(model.init_std);
  w1 = scope.parameter("w1", {F, model.hidden}, init);
  w2 = scope.parameter("w2", {model.hidden, F}, init);
  w3 = scope.parameter("w3", {F, model.hidden}, init);
}

Var SwigluMlp::operator()(const Var& x) const { return linear(swiglu(linear(x, w1), linear(x, w3)), w2); }

template <class Experts>
Routes Moe<Experts>::routes_for(const Gate& gate, const Context& context) const {
  if (capacity_factor_ == 0 || !context.limit_experts) return sort_by_expert(gate.experts, E_);
  const int64_t capacity = expert_capacity(capacity_factor_, gate.experts.numel(), E_);
  return sort_by_expert(gate.experts, E_, gate.probs.value(), capacity);
}

template <class Experts>
Var Moe<Experts>::run_experts(const Var& tokens, const Routes& routes, const Var& gates,
                              const Context& context, int64_t T) const {
  const auto run = [this, routes, context, T](const Vars& in) -> Vars {
    const Bf16Products products(context.bf16_products);  // not in the router
    return {experts_(in[0], routes, in[1], context, T)};
  };
  return recompute_ ? recompute(run, {tokens, gates})[0] : run({tokens, gates})[0];
}

template <class Experts>
Var Moe<Experts>::run_shared(const Var& tokens, const Context& context) const {
  const Bf16Products products(context.bf16_products);
  return shared_ ? (*shared_)(tokens) : Var();
}

template <class Experts>
Var Moe<Experts>::join(const Var& experts, const Var& shared) const {
  if (!shared) return experts;
  const auto weighted = [](const Var& x, double weight) { return weight == 1 ? x : scale(x, weight); };
  return add(weighted(experts, moe_weight_), weighted(shared, shared_weight_));
}

template <class Experts>
MoeOutput Moe<Experts>::operator()(const Var& x, const RouterState& state, const Context& context) const {
  const int64_t C = x.dim(-1), N = x.value().numel() / C, T = x.dim(1);
  const Var tokens = reshape(x, {N, C});
  const Routing routing = router_(tokens, state);
  const Gate& gate = routing.gate;
  const Routes routes = routes_for(gate, context);
  // The shared expert first: its gradient then comes last, and the tokens' has the same bits with experts run
  // again.
  const Var shared = run_shared(tokens, context);
  const Var y = join(run_experts(tokens, routes, gate.weights, context, T), shared);  // [N,C]
  return {reshape(y, x.shape()),
          routing.state,
          {routing.logits, gate.probs, gate.weights.value(), gate.experts, routes.offsets.rows(E_, 1)}};
}

template class Moe<ReluExperts>;
template class Moe<SwigluExperts>;

}  // namespace rmoe
