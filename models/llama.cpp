#include "models/llama.hpp"

#include "engine/gemm.hpp"
#include "ops/causal_attention/causal_attention.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/embedding/embedding.hpp"
#include "ops/rope/rope.hpp"

namespace rmoe {
namespace {

/// One of the projections of attention, to `heads` heads.
Linear to_heads(const Scope& scope, const ModelConfig& model, int64_t heads) {
  return {scope, model.hidden, model.hidden / model.heads * heads, false, Init::normal(model.init_std)};
}

int64_t kv_heads_of(const ModelConfig& model) { return model.kv_heads > 0 ? model.kv_heads : model.heads; }

std::variant<Moe<SwigluExperts>, SwigluMlp> make_feed_forward(const Scope& scope, const ModelConfig& model,
                                                              const RouterConfig& router,
                                                              const std::optional<RouterCell>& cell,
                                                              int64_t layer) {
  const bool dense = !router_spec(router.name);
  if (dense || layer < model.dense_layers) {
    const int64_t F = (dense ? 1 : model.top_k) * model.expert_hidden;  // what a token takes elsewhere
    return SwigluMlp(scope / "mlp", model, model.dense_hidden > 0 ? model.dense_hidden : F);
  }
  return Moe<SwigluExperts>(scope / "moe", model, router, cell);
}

Linear make_head_of(const Scope& scope, const ModelConfig& model, const Var& embedding) {
  if (model.tied_head) return Linear(embedding);
  return {scope, model.hidden, model.vocab, false, Init::normal(model.init_std)};
}

}  // namespace

CausalSelfAttention::CausalSelfAttention(const Scope& scope, const ModelConfig& model, int64_t layer)
    : q(to_heads(scope / "q", model, model.heads)),
      k(to_heads(scope / "k", model, kv_heads_of(model))),
      v(to_heads(scope / "v", model, kv_heads_of(model))),
      o(to_heads(scope / "o", model, model.heads)),
      layer(layer),
      heads(model.heads),
      kv_heads(kv_heads_of(model)),
      rope_theta(model.rope_theta) {}

Var CausalSelfAttention::operator()(const Var& h, const Context& context) const {
  const Bf16Products products(context.bf16_products);
  const auto attend = [&](const Var& x, const Var& y, const Var& values, KeptKeys* kept, int64_t first) {
    const Var queries = rope(x, heads, rope_theta, first), keys = rope(y, kv_heads, rope_theta, first);
    if (!kept) return causal_attention(queries, keys, values, heads);
    kept->append(keys.value(), values.value());
    return causal_attention(queries, kept->keys(kept->size()), kept->values(kept->size()), heads);
  };
  const Var queries = q(h), keys = k(h), values = v(h);
  return o(attend_each(context.reading, layer, queries, keys, values, attend));
}

LlamaBlock::LlamaBlock(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
                       const std::optional<RouterCell>& cell, int64_t layer)
    : norm1(scope / "norm1", model.hidden, model.norm_eps),
      attn(scope / "attn", model, layer),
      norm2(scope / "norm2", model.hidden, model.norm_eps),
      feed_forward(make_feed_forward(scope, model, router, cell, layer)) {}

BlockOutput LlamaBlock::operator()(const Var& h, const RouterState& state, const Context& context) const {
  const auto [h1, x] = norm2.with_sum(h, attn(norm1(h), context));  // [B,T,C]
  if (const auto* mlp = std::get_if<SwigluMlp>(&feed_forward)) {
    const Bf16Products products(context.bf16_products);
    return {add(h1, (*mlp)(x)), state, {}};
  }
  const MoeOutput moe = std::get<Moe<SwigluExperts>>(feed_forward)(x, state, context);
  return {add(h1, moe.y), moe.state, moe.routing};
}

Llama::Llama(const Scope& scope, const ModelConfig& model, const RouterConfig& router)
    : recompute_(model.recompute),
      embed_(
          (scope / "embed").parameter("weight", {model.vocab, model.hidden}, Init::normal(model.init_std))),
      cell_(make_router_cell(scope / "router_cell", model, router)),
      norm_(scope / "norm", model.hidden, model.norm_eps),
      head_(make_head_of(scope / "head", model, embed_)) {
  for (int64_t i = 0; i < model.layers; ++i)
    blocks_.emplace_back(scope / "layers" / i, model, router, cell_, i);
}

ModelOutput Llama::operator()(const Tensor& tokens, const Memory&, const Context& context) const {
  RMOE_CHECK(tokens.rank() == 2, "llama: tokens ", tokens.shape(), ", wanted [B,T]");
  ModelOutput out{head_};
  Var h = embedding(tokens, embed_);  // [B,T,C]
  RouterState state;
  for (const LlamaBlock& b : blocks_) {
    const auto block = [&b, context](const Var& x, const RouterState& s) { return b(x, s, context); };
    const BlockOutput y = run_block(recompute_, block, h, state);
    h = y.y;
    state = y.state;
    out.layers.push_back({y.routing, context.keep_outputs ? h.value() : Tensor()});
  }
  out.hidden = norm_(h);
  return out;
}

Tensors Llama::gate_matrices() const {
  Tensors matrices;
  for (const LlamaBlock& block : blocks_)
    if (const auto* moe = std::get_if<Moe<SwigluExperts>>(&block.feed_forward))
      matrices.push_back(moe->router().gate_matrix());
  return matrices;
}

}  // namespace rmoe
