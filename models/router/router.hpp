// The layerwise recurrent router (RMoE, eq. 2-6) and all it is compared with. For layer i and every token
// alone, with one cell for all layers and h_0 = 0:
//
//   x'_i = x_i Proj_i^T,  h_i = GRU(x'_i, h_{i-1}),  logits_i = h_i G_i^T (+ b_i)
#pragma once

#include "models/config.hpp"
#include "models/router/spec.hpp"
#include "ops/topk_gate/topk_gate.hpp"

namespace rmoe {

struct Routing {
  Var logits;  // [N,E], what the gate reads
  Gate gate;
  RouterState state;
};

class Router {
 public:
  /// `cell` is the model's, undefined for routers that read x; a copy shares its parameters.
  Router(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
         const std::optional<RouterCell>& cell);
  Routing operator()(const Var& x, const RouterState& state) const;  // x [N,C]
  Tensor gate_matrix() const { return head_->matrix(); }             // [E,*]

 private:
  Var gate_logits(const Var& own, const Var& previous) const;

  RouterSpec spec_;
  int64_t top_k_;
  std::optional<RouterCell> cell_;
  std::optional<Linear> proj_;  // C -> P
  std::shared_ptr<const Head> head_;
};

/// The model's shared cell if its routers are recurrent.
std::optional<RouterCell> make_router_cell(const Scope& scope, const ModelConfig& model,
                                           const RouterConfig& router);

}  // namespace rmoe
