// The Llama-style model of the paper's large-scale pre-training: pre-norm RMSNorm, rotary positions, SwiGLU
// experts (or one dense SwiGLU), no biases (experiments.md section 3).
#pragma once

#include "models/output.hpp"

#include <variant>

namespace rmoe {

/// Causal attention with rotary positions.
struct CausalSelfAttention {
  Linear q, k, v, o;  // [C,C]
  int64_t heads;
  double rope_theta;

  CausalSelfAttention(const Scope& scope, const ModelConfig& model);
  Var operator()(const Var& h) const;  // [B,T,C] -> [B,T,C]
};

/// w2 (silu(w1 x) * w3 x): the feed-forward block without experts.
struct SwigluMlp {
  Var w1, w3;  // [F,C]
  Var w2;      // [C,F]

  SwigluMlp(const Scope& scope, const ModelConfig& model);
  Var operator()(const Var& x) const;
};

/// h1 = h + attn(norm1(h)),  y = h1 + moe(norm2(h1))
struct LlamaBlock {
  RmsNorm norm1;
  CausalSelfAttention attn;
  RmsNorm norm2;
  std::variant<Moe<SwigluExperts>, SwigluMlp> feed_forward;

  LlamaBlock(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
             const std::optional<RouterCell>& cell);
  BlockOutput operator()(const Var& h, const RouterState& state, const Context& context) const;
};

class Llama {
 public:
  Llama(const Scope& scope, const ModelConfig& model, const RouterConfig& router);

  ModelOutput operator()(const Tensor& tokens, const Memory& memory,
                         const Context& context) const;  // [B,T] i32
  Memory initial_memory(int64_t) const { return {}; }
  Tensors gate_matrices() const;  // [E,*] per layer with experts

 private:
  bool recompute_;
  Var embed_;  // [V,C]
  std::optional<RouterCell> cell_;
  std::vector<LlamaBlock> blocks_;
  RmsNorm norm_;
  Linear head_;  // C -> V
};

}  // namespace rmoe
