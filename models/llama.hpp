// The Llama-style model of the paper's large-scale pre-training: pre-norm RMSNorm, rotary positions, SwiGLU
// experts (or one dense SwiGLU), no biases (experiments.md section 3).
#pragma once

#include "models/output.hpp"
#include "models/reading.hpp"

#include <variant>

namespace rmoe {

/// Causal attention with rotary positions; H / H_kv heads of queries share one of keys and values.
struct CausalSelfAttention {
  Linear q, k, v, o;  // [C,C]; k and v [C H_kv / H, C]
  int64_t layer, heads, kv_heads;
  double rope_theta;

  CausalSelfAttention(const Scope& scope, const ModelConfig& model, int64_t layer);
  Var operator()(const Var& h, const Context& context) const;  // [B,T,C] -> [B,T,C]
};

/// h1 = h + attn(norm1(h)),  y = h1 + moe(norm2(h1))
struct LlamaBlock {
  RmsNorm norm1;
  CausalSelfAttention attn;
  RmsNorm norm2;
  std::variant<Moe<SwigluExperts>, SwigluMlp> feed_forward;

  LlamaBlock(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
             const std::optional<RouterCell>& cell, int64_t layer);
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
  Linear head_;  // C -> V, its weight may be the embedding
};

}  // namespace rmoe
