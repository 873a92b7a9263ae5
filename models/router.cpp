#include "models/router.hpp"

#include "ops/recurrent_cell/recurrent_cell.hpp"

namespace rmoe {
namespace {

using Features = RouterSpec::Features;

RouterSpec spec_of(const RouterConfig& router) {
  const auto spec = router_spec(router.name);
  RMOE_CHECK(spec, "router: \"dense\" has no router");
  return *spec;
}

bool is_recurrent(const RouterConfig& router) { return spec_of(router).features == Features::recurrent; }

/// The LM setting starts linear layers as torch does and gives heads a bias; the Llama setting does neither.
bool with_bias(const ModelConfig& model) { return model.kind == "lm"; }
Init weight_init(const ModelConfig& model, int64_t fan_in) {
  return model.kind == "lm" ? Init::fan_in(fan_in) : Init::normal(model.init_std);
}

}  // namespace

std::optional<RouterSpec> router_spec(const std::string& name) {
  if (name == "dense") return std::nullopt;
  if (name == "smoe") return RouterSpec{Features::input};
  if (name == "rmoe") return RouterSpec{Features::recurrent};
  throw UsageError(concat("router: there is no \"", name, "\"; known are smoe, rmoe, dense"));
}

RouterCell::RouterCell(const Scope& scope, int64_t P)
    : weight_ih(scope.parameter("weight_ih", {3 * P, P}, Init::fan_in(P))),
      weight_hh(scope.parameter("weight_hh", {3 * P, P}, Init::fan_in(P))),
      bias_ih(scope.parameter("bias_ih", {3 * P}, Init::fan_in(P))),
      bias_hh(scope.parameter("bias_hh", {3 * P}, Init::fan_in(P))) {}

RouterState RouterCell::initial_state(int64_t N) const {
  const Tensor& w = weight_hh.value();
  return {Var(zeros({N, w.dim(1)}, acc_type(w.dtype()), w.device()))};
}

RouterState RouterCell::operator()(const Var& x, const RouterState& state) const {
  return {gru_cell(x, state.h, weight_ih, weight_hh, bias_ih, bias_hh)};
}

Router::Router(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
               const std::optional<RouterCell>& cell)
    : top_k_(model.top_k),
      cell_(cell),
      proj_(cell ? std::optional<Linear>(std::in_place, scope / "proj", model.hidden, router.state, false,
                                         weight_init(model, model.hidden))
                 : std::nullopt),
      head_(scope / "head", cell ? router.state : model.hidden, model.experts, with_bias(model),
            weight_init(model, cell ? router.state : model.hidden)) {}

Routing Router::operator()(const Var& x, const RouterState& state) const {
  RouterState next;
  if (cell_) next = (*cell_)((*proj_)(x), state);
  const Var logits = head_(cell_ ? next.h : x);  // [N,E]
  return {logits, topk_gate(logits, top_k_), next};
}

std::optional<RouterCell> make_router_cell(const Scope& scope, const RouterConfig& router) {
  if (!is_recurrent(router)) return std::nullopt;
  return RouterCell(scope, router.state);
}

}  // namespace rmoe
