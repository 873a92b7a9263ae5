// The mixture-of-experts block: y_n = sum_k g_nk Expert_{e_nk}(x_n), for which rows are sorted by expert and
// every expert runs on its own. With a shared expert, y_n = moe_weight * that + shared_weight * Shared(x_n).
// With a capacity, in training, an assignment that an expert drops adds nothing to its token's sum; the
// weights of the others stay as they are, so a token that every expert drops passes by on the residual path
// alone.
#pragma once

#include "models/context.hpp"
#include "models/router/router.hpp"
#include "ops/expert_dispatch/expert_dispatch.hpp"

namespace rmoe {

/// ReLU experts of the LM setting: w2 dropout(relu(w1 x + b1)) + b2, stacked over experts.
struct ReluExperts {
  Var w1, b1;  // [E,F,C] [E,F]
  Var w2, b2;  // [E,C,F] [E,C]
  double dropout_p;
  uint64_t path;

  ReluExperts(const Scope& scope, const ModelConfig& model);
  /// The sum of every token's experts, weighted by its gates [N,K]: x [N,C] -> [N,C].
  Var operator()(const Var& x, const Routes& routes, const Var& gates, const Context& context,
                 int64_t T) const;
};

/// SwiGLU experts of the Llama setting: w2 (silu(w1 x) * w3 x), no biases.
struct SwigluExperts {
  Var w1, w3;           // [E,F,C], or this rank's share of them
  Var w2;               // [E,C,F]
  Communicator* ranks;  // that the experts are spread over, or null

  SwigluExperts(const Scope& scope, const ModelConfig& model);
  Var operator()(const Var& x, const Routes& routes, const Var& gates, const Context& context,
                 int64_t T) const;
};

/// w2 (silu(w1 x) * w3 x): a feed-forward block without experts, or a shared expert.
struct SwigluMlp {
  Var w1, w3;  // [F,C]
  Var w2;      // [C,F]

  SwigluMlp(const Scope& scope, const ModelConfig& model, int64_t F);
  Var operator()(const Var& x) const;
};

/// What a layer's router did, for auxiliary losses, the step line, analyses and `trace`. Undefined in a dense
/// layer.
struct RoutingStats {
  Var logits, probs;  // [N,E]
  Tensor weights;     // [N,K]
  Tensor experts;     // [N,K] i32, chosen; some may have dropped the token
  Tensor kept;        // i32 [1], how many of the N*K assignments were not dropped

  /// Waits for the device.
  int64_t dropped() const { return experts.numel() - int64_t(kept.item()); }
};

struct MoeOutput {
  Var y;  // [B,T,C]
  RouterState state;
  RoutingStats routing;
};

template <class Experts>
class Moe {
 public:
  Moe(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
      const std::optional<RouterCell>& cell)
      : router_(scope / "router", model, router, cell),
        experts_(scope / "experts", model),
        E_(model.experts),
        capacity_factor_(router.capacity_factor),
        recompute_(model.recompute_experts),
        moe_weight_(model.moe_weight),
        shared_weight_(model.shared_weight) {
    if (model.shared_hidden > 0) shared_.emplace(scope / "shared", model, model.shared_hidden);
  }

  MoeOutput operator()(const Var& x, const RouterState& state, const Context& context) const;  // x [B,T,C]
  const Router& router() const { return router_; }

 private:
  Routes routes_for(const Gate& gate, const Context& context) const;
  Var run_experts(const Var& tokens, const Routes& routes, const Var& gates, const Context& context,
                  int64_t T) const;
  Var run_shared(const Var& tokens, const Context& context) const;  // undefined if there is none
  Var join(const Var& experts, const Var& shared) const;

  Router router_;
  Experts experts_;
  int64_t E_;
  double capacity_factor_;  // 0: none
  bool recompute_;
  double moe_weight_, shared_weight_;
  std::optional<SwigluMlp> shared_;
};

}  // namespace rmoe
