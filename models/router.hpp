// The router, three small choices composed:
//
//   features  what the head reads: x itself, or a recurrent state that runs over LAYERS (never over time)
//   head      features -> E logits
//   gate      softmax, top-K, renormalise
//
// The layerwise recurrent router (RMoE, eq. 2-6), for layer i and every token alone:
//   x'_i = x_i Proj_i^T,  h_i = GRU(x'_i, h_{i-1}) with one cell for all layers,  logits_i = h_i G_i^T (+
//   b_i),  h_0 = 0
#pragma once

#include "models/config.hpp"
#include "models/layers.hpp"
#include "ops/topk_gate/topk_gate.hpp"

#include <optional>

namespace rmoe {

/// What a router preset is made of.
struct RouterSpec {
  enum class Features { input, recurrent };
  Features features;
};

/// The preset called `name`, or nothing for "dense"; an error listing the names if there is none such.
std::optional<RouterSpec> router_spec(const std::string& name);

/// What passes from one layer's router to the next.
struct RouterState {
  Var h;  // [N,P]; undefined for routers without memory
};

/// The cell all layers share (torch.nn.GRUCell's parameters and start values).
struct RouterCell {
  Var weight_ih, weight_hh;  // [3P,P]
  Var bias_ih, bias_hh;      // [3P]

  RouterCell(const Scope& scope, int64_t P);
  RouterState initial_state(int64_t N) const;  // zeros
  RouterState operator()(const Var& x, const RouterState& state) const;
};

struct Routing {
  Var logits;  // [N,E]
  Gate gate;
  RouterState state;
};

class Router {
 public:
  /// `cell` is the model's, undefined for routers that read x; a copy shares its parameters.
  Router(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
         const std::optional<RouterCell>& cell);
  Routing operator()(const Var& x, const RouterState& state) const;  // x [N,C]

 private:
  int64_t top_k_;
  std::optional<RouterCell> cell_;
  std::optional<Linear> proj_;  // C -> P, for the recurrent state
  Linear head_;                 // C or P -> E
};

/// The model's shared cell if its routers are recurrent.
std::optional<RouterCell> make_router_cell(const Scope& scope, const RouterConfig& router);

}  // namespace rmoe
