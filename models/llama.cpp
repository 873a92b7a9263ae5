#include "models/llama.hpp"

#include "ops/causal_attention/causal_attention.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/embedding/embedding.hpp"
#include "ops/rope/rope.hpp"
#include "ops/swiglu/swiglu.hpp"

namespace rmoe {
namespace {

Linear square(const Scope& scope, const ModelConfig& model) {
  return {scope, model.hidden, model.hidden, false, Init::normal(model.init_std)};
}

std::variant<Moe<SwigluExperts>, SwigluMlp> make_feed_forward(const Scope& scope, const ModelConfig& model,
                                                              const RouterConfig& router,
                                                              const std::optional<RouterCell>& cell) {
  if (!router_spec(router.name)) return SwigluMlp(scope / "mlp", model);
  return Moe<SwigluExperts>(scope / "moe", model, router, cell);
}

}  // namespace

CausalSelfAttention::CausalSelfAttention(const Scope& scope, const ModelConfig& model)
    : q(square(scope / "q", model)),
      k(square(scope / "k", model)),
      v(square(scope / "v", model)),
      o(square(scope / "o", model)),
      heads(model.heads),
      rope_theta(model.rope_theta) {}

Var CausalSelfAttention::operator()(const Var& h) const {
  const Var queries = rope(q(h), heads, rope_theta);
  const Var keys = rope(k(h), heads, rope_theta);
  return o(causal_attention(queries, keys, v(h), heads));
}

SwigluMlp::SwigluMlp(const Scope& scope, const ModelConfig& model) {
  const int64_t F = model.expert_hidden, C = model.hidden;
  const Init init = Init::normal(model.init_std);
  w1 = scope.parameter("w1", {F, C}, init);
  w2 = scope.parameter("w2", {C, F}, init);
  w3 = scope.parameter("w3", {F, C}, init);
}

Var SwigluMlp::operator()(const Var& x) const { return linear(swiglu(linear(x, w1), linear(x, w3)), w2); }

LlamaBlock::LlamaBlock(const Scope& scope, const ModelConfig& model, const RouterConfig& router,
                       const std::optional<RouterCell>& cell)
    : norm1(scope / "norm1", model.hidden, model.norm_eps),
      attn(scope / "attn", model),
      norm2(scope / "norm2", model.hidden, model.norm_eps),
      feed_forward(make_feed_forward(scope, model, router, cell)) {}

BlockOutput LlamaBlock::operator()(const Var& h, const RouterState& state, const Context& context) const {
  const Var h1 = add(h, attn(norm1(h)));  // [B,T,C]
  const Var x = norm2(h1);
  if (const auto* mlp = std::get_if<SwigluMlp>(&feed_forward)) return {add(h1, (*mlp)(x)), {}, {}};
  const MoeOutput moe = std::get<Moe<SwigluExperts>>(feed_forward)(x, state, context);
  return {add(h1, moe.y), moe.state, moe.routing};
}

Llama::Llama(const Scope& scope, const ModelConfig& model, const RouterConfig& router)
    : recompute_(model.recompute),
      embed_(
          (scope / "embed").parameter("weight", {model.vocab, model.hidden}, Init::normal(model.init_std))),
      cell_(make_router_cell(scope / "router_cell", model, router)),
      norm_(scope / "norm", model.hidden, model.norm_eps),
      head_(scope / "head", model.hidden, model.vocab, false, Init::normal(model.init_std)) {
  for (int64_t i = 0; i < model.layers; ++i) blocks_.emplace_back(scope / "layers" / i, model, router, cell_);
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
