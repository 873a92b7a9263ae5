#include "train/plan/sizes.hpp"

#include "autograd/tape.hpp"
#include "engine/flops.hpp"
#include "train/account.hpp"

namespace rmoe::plan {
namespace {

void read_parameters(const Config& config, Sizes& sizes) {
  const Model model(config.model, config.router, 1, DType::f32, Device::meta);
  for (const Parameter& p : model.parameters()) {
    if (p.name.find(".experts.") != p.name.npos) sizes.expert_parameters += p.var.value().numel();
    if (p.name.ends_with(".mlp.w1")) sizes.dense_width = p.var.dim(0);
  }
}

struct Flops {
  double fwd = 0, bwd = 0;
};

/// One layer's router on N tokens, with a state from the layer below where there is one.
Flops router_flops(const Config& config, const RouterSpec& spec, int64_t N) {
  const int64_t C = config.model.hidden, P = config.router.state, E = config.model.experts;
  const auto values = [N](int64_t width) { return empty({N, width}, DType::f32, Device::meta); };
  Parameters parameters;
  const Scope scope(parameters, 1, DType::f32, Device::meta);
  const auto cell = make_router_cell(scope / "cell", config.model, config.router);
  const Router router(scope / "router", config.model, config.router, cell);
  RouterState below;
  if (spec.cell && spec.passing != Passing::none)
    below = {.h = Var::leaf(values(P)), .c = spec.cell->has_c ? Var::leaf(values(P)) : Var()};
  if (spec.passing == Passing::detached) below.h = detach(below.h);
  if (spec.logit_residual != 0) below.logits = Var::leaf(values(E));
  const double before = flops_counted();
  const Routing routing = router(Var::leaf(values(C)), below);
  const double between = flops_counted();
  backward({routing.logits}, {values(E)});
  return {between - before, flops_counted() - between};
}

void count_router_flops(const Config& config, const RouterSpec& spec, Sizes& sizes) {
  // The difference leaves out what is done once whatever N is: the hypernet's weights.
  const Flops one = router_flops(config, spec, 1), two = router_flops(config, spec, 2);
  sizes.router_fwd = two.fwd - one.fwd;
  sizes.router_bwd = two.bwd - one.bwd;
  sizes.router_proj =
      spec.cell && spec.projector ? 2.0 * double(config.model.hidden * config.router.state) : 0;
}

}  // namespace

Sizes sizes_of(Config config) {
  Sizes s;
  s.batch = config.train.batch;
  config.train.batch = config.train.micro_batches = 1;
  config.model.recompute = false;
  const ModelConfig& m = config.model;
  const auto spec = router_spec(config.router.name);
  s.llama = m.kind == "llama";
  s.V = m.vocab;
  s.C = m.hidden;
  s.H = m.heads;
  s.L = m.layers;
  s.T = config.train.block;
  s.S = s.llama ? 0 : m.span;
  s.KV = m.kv_heads > 0 ? m.hidden / m.heads * m.kv_heads : m.hidden;
  s.expert_layers = spec ? m.layers - m.dense_layers : 0;
  s.E = spec ? m.experts : 1;
  s.K = spec ? m.top_k : 1;
  s.F = m.expert_hidden;
  s.P = spec && spec->cell ? config.router.state : 0;
  s.shared_width = spec ? m.shared_hidden : 0;
  s.balance_over_batch = spec && config.router.balance_over == "batch" && config.router.balance_weight > 0;

  const Account account = account_for(config);
  s.parameters = account.parameters;
  s.flops_per_token = account.flops_per_token;
  read_parameters(config, s);
  if (spec) count_router_flops(config, *spec, s);
  return s;
}

}  // namespace rmoe::plan
