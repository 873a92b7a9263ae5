#include "models/router/router.hpp"

#include "ops/cast/cast.hpp"
#include "ops/elementwise/elementwise.hpp"

namespace rmoe {
namespace {

RouterSpec spec_of(const RouterConfig& router) {
  const auto spec = router_spec(router.name);
  RMOE_CHECK(spec, "router: \"dense\" has no router");
  return *spec;
}

/// The LM setting starts linear layers as torch does and gives heads a bias; the Llama setting does neither.
HeadOptions head_options(const ModelConfig& model, const RouterConfig& router, const RouterSpec& spec) {
  const bool lm = model.kind == "lm";
  return {.features = spec.cell ? router.state : model.hidden,
          .experts = model.experts,
          .width = spec.head_width,
          .bias = lm,
          .init_std = lm ? 0 : model.init_std};
}

std::shared_ptr<const Head> make_router_head(const Scope& scope, const RouterSpec& spec,
                                             const HeadOptions& options) {
  return spec.head(spec.frozen_head ? scope.frozen() : scope, options);
}

std::optional<Linear> make_projector(const Scope& scope, const RouterSpec& spec, const HeadOptions& options,
                                     int64_t C, int64_t P) {
  if (!spec.cell || !spec.projector) return std::nullopt;
  return Linear(scope, C, P, false, options.weight_init(C));
}

/// What the cell of the next layer gets of this state.
RouterState passed_on(const RouterState& state, Passing passing) {
  switch (passing) {
    case Passing::passed:
      return state;
    case Passing::detached:
      return {.h = detach(state.h), .c = detach(state.c)};
    case Passing::none:
      return {};
  }
  return {};
}

}  // namespace

Router::Router(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
               const std::optional<RouterCell>& cell)
    : spec_(spec_of(router)), top_k_(model.top_k), cell_(cell) {
  const HeadOptions options = head_options(model, router, spec_);
  const Scope own = router.freezes("router") ? scope.exact().frozen() : scope.exact();
  proj_ = make_projector(own / "proj", spec_, options, model.hidden, router.state);
  head_ = make_router_head(own / "head", spec_, options);
}

Routing Router::operator()(const Var& input, const RouterState& state) const {
  const auto x = [&] { return cast(input, acc_type(input.value().dtype())); };  // no choice hangs on bf16
  RouterState next;
  if (cell_) next = (*cell_)(proj_ ? (*proj_)(input) : x(), state);
  const Var own = (*head_)(cell_ ? next.h : x());  // [N,E]
  const Var logits = gate_logits(own, state.logits);
  next = passed_on(next, spec_.passing);
  if (spec_.logit_residual != 0) next.logits = spec_.detach_residual ? detach(own) : own;
  return {logits, topk_gate(logits, top_k_), next};
}

/// logits_i + a logits_{i-1}: the previous layer's own term, not its sum.
Var Router::gate_logits(const Var& own, const Var& previous) const {
  return previous ? add(own, scale(previous, spec_.logit_residual)) : own;
}

std::optional<RouterCell> make_router_cell(const Scope& scope, const ModelConfig& model,
                                           const RouterConfig& router) {
  const auto spec = router_spec(router.name);
  if (!spec || !spec->cell) return std::nullopt;
  const Scope own = router.freezes("recurrent") ? scope.exact().frozen() : scope.exact();
  return RouterCell(own, *spec->cell, spec->projector ? router.state : model.hidden, router.state);
}

}  // namespace rmoe
