// The language model of the paper's enwik8 and WikiText-103 experiments: a post-norm transformer with span
// attention over a memory of past hidden states and experts in every layer (experiments.md section 2).
#pragma once

#include "models/output.hpp"
#include "models/reading.hpp"

namespace rmoe {

/// Attention over exactly the L positions before each token, memory included, itself excluded; no biases. The
/// key table of relative positions is the model's.
struct SpanSelfAttention {
  Linear q, k, v, o;  // [C,C]
  int64_t layer, heads;
  double dropout_p;
  uint64_t path;

  SpanSelfAttention(const Scope& scope, const ModelConfig& model, int64_t layer);
  /// h [B,T,C], memory [B,L,C] (not used while sequences are read), key_pe [D,L] -> [B,T,C]
  Var operator()(const Var& h, const Tensor& memory, const Var& key_pe, const Context& context) const;
};

/// h1 = LN1(h + attn(h)),  m = LNm(h1 + dropout(MoE(h1))),  y = LN2(h1 + m)
struct LmBlock {
  SpanSelfAttention attn;
  LayerNorm norm1, norm_moe, norm2;
  Moe<ReluExperts> moe;
  double dropout_p;
  uint64_t path;

  LmBlock(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
          const std::optional<RouterCell>& cell, int64_t layer);
  BlockOutput operator()(const Var& h, const RouterState& state, const Tensor& memory, const Var& key_pe,
                         const Context& context) const;
};

class Lm {
 public:
  Lm(const Scope& scope, const ModelConfig& model, const RouterConfig& router);

  ModelOutput operator()(const Tensor& tokens, const Memory& memory,
                         const Context& context) const;  // [B,T] i32
  /// Zeros: the start of a stream.
  Memory initial_memory(int64_t B) const;
  Tensors gate_matrices() const;  // [E,*] per layer

 private:
  int64_t C_, L_;
  bool recompute_;
  Var embed_;   // [V,C]
  Var key_pe_;  // [D,L]
  std::optional<RouterCell> cell_;
  std::vector<LmBlock> blocks_;
  Linear head_;  // C -> V
};

}  // namespace rmoe
