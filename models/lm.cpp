#include "models/lm.hpp"

#include "engine/gemm.hpp"
#include "ops/concat/concat.hpp"
#include "ops/dropout/dropout.hpp"
#include "ops/embedding/embedding.hpp"
#include "ops/span_attention/span_attention.hpp"

namespace rmoe {
namespace {

Linear square(const Scope& scope, int64_t C) { return {scope, C, C, false, Init::fan_in(C)}; }

/// The last L positions of memory followed by h: the memory of the next block.
Tensor next_memory(const Tensor& memory, const Tensor& h) {
  const int64_t B = h.dim(0), L = memory.dim(1), T = h.dim(1), C = h.dim(2);
  const int64_t fresh = std::min(L, T), kept = L - fresh;
  const Tensor next = empty_like(memory);
  const Tensor to = next.reshape({B * L, C}), old = memory.reshape({B * L, C}), now = h.reshape({B * T, C});
  for (int64_t b = 0; b < B; ++b) {
    copy(to.rows(b * L, kept), old.rows(b * L + fresh, kept));
    copy(to.rows(b * L + kept, fresh), now.rows(b * T + T - fresh, fresh));
  }
  return next;
}

}  // namespace

SpanSelfAttention::SpanSelfAttention(const Scope& scope, const ModelConfig& model, int64_t layer)
    : q(square(scope / "q", model.hidden)),
      k(square(scope / "k", model.hidden)),
      v(square(scope / "v", model.hidden)),
      o(square(scope / "o", model.hidden)),
      layer(layer),
      heads(model.heads),
      dropout_p(model.dropout),
      path(scope.path_hash()) {}

Var SpanSelfAttention::operator()(const Var& h, const Tensor& memory, const Var& key_pe,
                                  const Context& context) const {
  const Bf16Products products(context.bf16_products);
  const int64_t T = h.dim(1), C = h.dim(2), L = key_pe.dim(1);
  const RandomStream random = context.random(path, heads * T * L);
  const auto span = [&](const Var& q, const Var& keys, const Var& values) {
    return span_attention(q, keys, values, key_pe, heads, context.training ? dropout_p : 0, random);
  };
  const auto attend = [&](const Var& queries, const Var& keys, const Var& values, KeptKeys* kept, int64_t) {
    if (kept) {
      if (kept->size() == 0) {
        const Tensor start = zeros({1, L, C}, h.value().dtype(), h.value().device());  // L zeros in memory
        kept->append(start, start);
      }
      kept->append(keys.value(), values.value(), L);
      const int64_t seen = L + queries.dim(1);
      return span(queries, kept->keys(seen), kept->values(seen));
    }
    // Memory is projected by itself: it is a constant, and so no gradient with respect to it is computed.
    const Var past(memory);
    return span(queries, concat_time(k(past), keys), concat_time(v(past), values));  // [B,L+T,C]
  };
  const Var queries = q(h), keys = k(h), values = v(h);
  return o(attend_each(context.reading, layer, queries, keys, values, attend));
}

LmBlock::LmBlock(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
                 const std::optional<RouterCell>& cell, int64_t layer)
    : attn(scope / "attn", model, layer),
      norm1(scope / "norm1", model.hidden, model.norm_eps),
      norm_moe(scope / "norm_moe", model.hidden, model.norm_eps),
      norm2(scope / "norm2", model.hidden, model.norm_eps),
      moe(scope / "moe", model, router, cell),
      dropout_p(model.dropout),
      path(scope.path_hash()) {}

BlockOutput LmBlock::operator()(const Var& h, const RouterState& state, const Tensor& memory,
                                const Var& key_pe, const Context& context) const {
  const Var h1 = norm1.of_sum(h, attn(h, memory, key_pe, context));  // [B,T,C]
  const MoeOutput moe_out = moe(h1, state, context);
  const RandomStream random = context.random(path, h.dim(1) * h.dim(2));
  const Var mixed = dropout(moe_out.y, context.training ? dropout_p : 0, random);
  const Var m = norm_moe.of_sum(h1, mixed);
  return {norm2.of_sum(h1, m), moe_out.state, moe_out.routing};
}

Lm::Lm(const Scope& scope, const ModelConfig& model, const RouterConfig& router)
    : C_(model.hidden),
      L_(model.span),
      recompute_(model.recompute),
      embed_((scope / "embed").parameter("weight", {model.vocab, model.hidden}, Init::normal(1))),
      key_pe_(scope.parameter("key_pe", {model.hidden / model.heads, model.span}, Init::normal(1))),
      cell_(make_router_cell(scope / "router_cell", model, router)),
      head_(scope / "head", model.hidden, model.vocab, true, Init::fan_in(model.hidden)) {
  for (int64_t i = 0; i < model.layers; ++i)
    blocks_.emplace_back(scope / "layers" / i, model, router, cell_, i);
}

Memory Lm::initial_memory(int64_t B) const {
  const Tensor& e = embed_.value();
  Memory memory;
  for (size_t i = 0; i < blocks_.size(); ++i) memory.push_back(zeros({B, L_, C_}, e.dtype(), e.device()));
  return memory;
}

ModelOutput Lm::operator()(const Tensor& tokens, const Memory& memory, const Context& context) const {
  RMOE_CHECK(tokens.rank() == 2 && (context.reading || memory.size() == blocks_.size()), "lm: tokens ",
             tokens.shape(), " and ", memory.size(), " memories for ", blocks_.size(), " layers");
  ModelOutput out{head_};
  Var h = embedding(tokens, embed_);  // [B,T,C]
  RouterState state;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Tensor past = context.reading ? Tensor() : memory[i];
    const auto block = [&b = blocks_[i], past, pe = key_pe_, context](const Var& x, const RouterState& s) {
      return b(x, s, past, pe, context);
    };
    if (past) out.memory.push_back(next_memory(past, h.value()));
    const BlockOutput y = run_block(recompute_, block, h, state);
    h = y.y;
    state = y.state;
    out.layers.push_back({y.routing, context.keep_outputs ? h.value() : Tensor()});
  }
  out.hidden = h;
  return out;
}

Tensors Lm::gate_matrices() const {
  Tensors matrices;
  for (const LmBlock& block : blocks_) matrices.push_back(block.moe.router().gate_matrix());
  return matrices;
}

}  // namespace rmoe
