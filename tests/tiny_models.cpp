#include "tests/tiny_models.hpp"

#include "engine/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rmoe::test {
namespace {

/// The two main routers with what models may have besides.
void add_options(std::vector<TinyCase>& cases) {
  const auto add = [&](const std::string& name, const std::string& option, auto change) {
    TinyCase c = *std::ranges::find(cases, name, &TinyCase::name);
    c.name += option;
    change(c.model, c.router);
    cases.push_back(c);
  };
  add("llama-rmoe", "+grouped", [](ModelConfig& m, RouterConfig&) { m.kv_heads = 1; });
  add("llama-smoe", "+tied", [](ModelConfig& m, RouterConfig&) { m.tied_head = true; });
  add("llama-rmoe", "+shared", [](ModelConfig& m, RouterConfig&) {
    m.shared_hidden = 7;
    m.moe_weight = 0.5;
    m.shared_weight = 0.75;
  });
  add("llama-rmoe", "+dense-first", [](ModelConfig& m, RouterConfig&) {
    m.layers = 3;
    m.dense_layers = 1;
  });
  add("lm-smoe", "+capacity", [](ModelConfig&, RouterConfig& r) { r.capacity_factor = 0.75; });
  add("lm-rmoe", "+joint", [](ModelConfig&, RouterConfig& r) { r.balance_layers = "joint"; });
  add("llama-rmoe", "+everything", [](ModelConfig& m, RouterConfig& r) {
    m.layers = 3;
    m.dense_layers = 1;
    m.dense_hidden = 9;
    m.kv_heads = 1;
    m.shared_hidden = 7;
    m.moe_weight = 0.5;
    m.shared_weight = 0.5;
    m.tied_head = true;
    r.z_loss_weight = 0.02;
    r.balance_layers = "joint";
    r.capacity_factor = 0.9;
  });
}

}  // namespace

std::vector<TinyCase> tiny_cases() {
  const ModelConfig lm{.kind = "lm",
                       .layers = 2,
                       .hidden = 12,
                       .heads = 3,
                       .span = 7,
                       .vocab = 11,
                       .experts = 4,
                       .top_k = 2,
                       .expert_hidden = 10,
                       .dropout = 0};
  ModelConfig llama = lm;
  llama.kind = "llama";
  llama.init_std = 0.3;
  std::vector<TinyCase> cases;
  for (const std::string& name : router_names()) {
    const RouterConfig router{.name = name, .state = 5};
    if (name != "dense") cases.push_back({"lm-" + name, lm, router});
    cases.push_back({"llama-" + name, llama, router});
  }
  add_options(cases);
  return cases;
}

TinyCase tiny_case(const std::string& name) {
  for (const TinyCase& c : tiny_cases())
    if (c.name == name) return c;
  fail("there is no tiny case ", name);
}

Config tiny_training(const TinyCase& c) {
  Config config;
  config.model = c.model;
  config.router = c.router;
  config.router.balance_weight = 0.5;
  config.train.batch = 4;
  config.train.block = 6;
  return config;
}

Batch tiny_batch(const ModelConfig& config) {
  std::vector<int32_t> inputs, targets;
  for (int i = 0; i < 10; ++i) {
    inputs.push_back((i * 7 + 3) %
                     config.vocab);  // no two alike: attention over two equal tokens is that over one
    targets.push_back((i * i + 1) % config.vocab);
  }
  return {from_vector(inputs, {2, 5}), from_vector(targets, {2, 5}), false};
}

void spread_parameters(const Model& model) {
  for (const Parameter& p : model.parameters()) {
    const Tensor noise = empty_like(p.var.value());
    fill_normal(noise, 0, 0.2, 9, hash(p.name));
    accumulate(p.var.value(), noise);
  }
}

Memory warm_memory(const Model& model) {
  const NoGrad guard;
  const Batch batch = tiny_batch(model.config());
  return model(batch.targets, model.initial_memory(2), {}).memory;
}

Tensors gradients(const TinyCase& c, uint64_t seed, bool bf16_products) {
  Model model(c.model, c.router, seed);
  const Batch batch = tiny_batch(c.model);
  const Context context{
      .training = true, .limit_experts = true, .bf16_products = bf16_products, .seed = 4, .step = 1};
  backward(losses(model(batch.inputs, warm_memory(model), context), batch.targets, c.router).total);
  Tensors grads;
  for (const Parameter& p : model.parameters()) grads.push_back(p.var.grad());
  return grads;
}

bool same_bits(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].defined() != b[i].defined()) return false;
    if (a[i] && std::memcmp(a[i].raw(), b[i].raw(), a[i].bytes()) != 0) return false;
  }
  return true;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const Array x = to_array(a), y = to_array(b);
  double most = 0;
  for (size_t i = 0; i < x.data.size(); ++i) most = std::max(most, std::fabs(x.data[i] - y.data[i]));
  return most;
}

}  // namespace rmoe::test
