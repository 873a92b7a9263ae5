#include "autograd/gradcheck.hpp"
#include "engine/parallel.hpp"
#include "models/model.hpp"
#include "tests/tiny_models.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>

namespace rmoe::test {
TEST_CASE("the Llama-style model counts what the literal configuration gives") {
  const ModelConfig config{.kind = "llama",
                           .layers = 24,
                           .hidden = 1280,
                           .heads = 20,
                           .vocab = 96512,
                           .experts = 16,
                           .top_k = 4,
                           .expert_hidden = 448};
  const ParameterCounts smoe = count_parameters(Model(config, {.name = "smoe"}, 1, DType::f32, Device::meta));
  CHECK(smoe.total == 1'065'514'240);
  CHECK(smoe.total - 2 * smoe.embedding == 818'443'520);
  CHECK(smoe.active - 2 * smoe.embedding == 322'991'360);
  const ParameterCounts rmoe = count_parameters(Model(config, {.name = "rmoe"}, 1, DType::f32, Device::meta));
  CHECK(rmoe.total - smoe.total == 3'588'864);
}

namespace {

int64_t total_of(const ModelConfig& model, const RouterConfig& router) {
  return count_parameters(Model(model, router, 1, DType::f32, Device::meta)).total;
}

}  // namespace

TEST_CASE("a tied head, shared experts and dense layers count what they hold") {
  const TinyCase c = tiny_case("llama-rmoe");
  const int64_t C = c.model.hidden, F = c.model.expert_hidden, E = c.model.experts, K = c.model.top_k,
                V = c.model.vocab, P = c.router.state, L = c.model.layers;
  const int64_t plain = total_of(c.model, c.router);
  ModelConfig m = c.model;
  m.tied_head = true;
  CHECK(plain - total_of(m, c.router) == V * C);
  m = c.model;
  m.shared_hidden = 7;
  CHECK(total_of(m, c.router) - plain == L * 3 * 7 * C);
  const auto active = [&] {
    return count_parameters(Model(m, c.router, 1, DType::f32, Device::meta)).active;
  };
  const int64_t with_shared = active();
  m.shared_hidden = 0;
  CHECK(with_shared - active() == L * 3 * 7 * C);
  m.dense_layers = 1;
  CHECK(plain - total_of(m, c.router) == 3 * (E - K) * F * C + P * C + E * P);
  m.dense_hidden = 9;
  CHECK(plain - total_of(m, c.router) == 3 * (E * F - 9) * C + P * C + E * P);
}

TEST_CASE("counts without embedding and head know tied heads") {
  for (const char* name : {"lm-rmoe", "llama-smoe", "llama-smoe+tied"}) {
    const TinyCase c = tiny_case(name);
    const ParameterCounts n = count_parameters(Model(c.model, c.router, 1, DType::f32, Device::meta));
    const int64_t V = c.model.vocab, C = c.model.hidden;
    const int64_t outside = c.model.tied_head ? V * C : c.model.kind == "lm" ? 2 * V * C + V : 2 * V * C;
    CHECK(n.total - n.non_embedding == outside);
    CHECK(n.active - n.active_non_embedding == outside);
  }
}

TEST_CASE("grouped-query attention has as many keys and values as it has kv heads") {
  const TinyCase plain = tiny_case("llama-rmoe"), grouped = tiny_case("llama-rmoe+grouped");
  const int64_t C = plain.model.hidden;
  CHECK(total_of(plain.model, plain.router) - total_of(grouped.model, grouped.router) ==
        plain.model.layers * 2 * (C * C - C * C / 3));
}

namespace {

/// Where a value passes without its gradient, only what comes after the last such place has the gradient that
/// finite differences see.
bool detaches(const TinyCase& c) { return c.router.name.ends_with("detach"); }
bool is_last_layer(const Parameter& p, const TinyCase& c) {
  return p.name.starts_with(concat("layers.", c.model.layers - 1, "."));
}

/// Blocks, experts, or both.
void check_recomputing_changes_nothing(TinyCase c) {
  const Tensors kept = gradients(c, 1);
  for (int what : {1, 2, 3}) {
    CAPTURE(what);
    c.model.recompute = what & 1;
    c.model.recompute_experts = what & 2;
    CHECK(same_bits(kept, gradients(c, 1)));
  }
}

}  // namespace

TEST_CASE("whole models pass the gradient check in every parameter, memory in use") {
  const int before = thread_count();
  set_thread_count(1);  // sizes too small to share
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    Model model(c.model, c.router, 4, DType::f64);
    spread_parameters(model);
    const Batch batch = tiny_batch(c.model);
    const Memory memory = warm_memory(model);
    const auto f = [&] {
      return Vars{
          losses(model(batch.inputs, memory, {.limit_experts = true}), batch.targets, c.router).total};
    };
    Vars leaves;
    for (const Parameter& p : model.parameters())
      if (p.var.requires_grad() && (!detaches(c) || is_last_layer(p, c))) leaves.push_back(p.var);
    // Every element for the two main routers; for the others a few of every parameter.
    const bool main = c.router.name == "smoe" || c.router.name == "rmoe",
               option = c.name.find('+') != c.name.npos;
    const GradcheckResult result = gradcheck(f, leaves, {.step = 1e-5, .most = option ? 12 : main ? -1 : 6});
    CHECK_MESSAGE(result.error < 1e-7, "off by ", result.error, " at ", result.where);
  }
  set_thread_count(before);
}

TEST_CASE("recomputed blocks give the same bits as kept ones, dropout on") {
  for (TinyCase c : tiny_cases()) {
    CAPTURE(c.name);
    c.model.dropout = c.model.kind == "lm" ? 0.2 : 0;
    check_recomputing_changes_nothing(c);
  }
}

TEST_CASE("recomputed blocks give the same bits with every router, a capacity and a shared expert") {
  for (TinyCase c : tiny_cases()) {
    if (c.model.kind != "llama" || c.router.name == "dense") continue;
    CAPTURE(c.name);
    c.model.shared_hidden = 5;
    c.router.capacity_factor = 0.75;
    c.router.z_loss_weight = 0.1;
    check_recomputing_changes_nothing(c);
  }
}

TEST_CASE("a capacity drops assignments in training and nowhere else") {
  const TinyCase c = tiny_case("lm-smoe+capacity");
  const Model model(c.model, c.router, 4);
  spread_parameters(model);
  const Batch batch = tiny_batch(c.model);  // N = 10, K = 2, E = 4: at most ceil(0.75 * 5) = 4 each
  const Memory memory = warm_memory(model);
  const NoGrad guard;
  const ModelOutput free = model(batch.inputs, memory, {}),
                    full = model(batch.inputs, memory, {.limit_experts = true});
  for (const LayerStats& layer : free.layers) CHECK(layer.routing.dropped() == 0);
  const RoutingStats& first = full.layers[0].routing;
  std::vector<int64_t> chosen(4);
  for (const int32_t e : first.experts.span<int32_t>()) ++chosen[e];
  int64_t over = 0;
  for (const int64_t n : chosen) over += std::max<int64_t>(n - 4, 0);
  CHECK(over > 0);
  CHECK(first.dropped() == over);
  CHECK(largest_difference(free.hidden.value(), full.hidden.value()) > 1e-3);
}

TEST_CASE("load balance over joint layers is that of one layer with all their tokens") {
  const TinyCase c = tiny_case("lm-rmoe+joint");
  const Model model(c.model, c.router, 4, DType::f64);
  spread_parameters(model);
  const Batch batch = tiny_batch(c.model);
  const NoGrad guard;
  const ModelOutput output = model(batch.inputs, warm_memory(model), {});
  const int64_t E = c.model.experts, N = 10, L = c.model.layers, K = c.model.top_k;
  double wanted = 0;
  for (int64_t e = 0; e < E; ++e) {
    double share = 0, probability = 0;
    for (const LayerStats& layer : output.layers) {
      for (const int32_t expert : layer.routing.experts.span<int32_t>())
        share += (expert == e) / double(L * N * K);
      for (int64_t n = 0; n < N; ++n)
        probability += layer.routing.probs.value().data<double>()[n * E + e] / double(L * N);
    }
    wanted += E * share * probability;
  }
  const double joint = losses(output, batch.targets, c.router).balance.value().item();
  CHECK(joint == doctest::Approx(wanted).epsilon(1e-12));
  RouterConfig each = c.router;
  each.balance_layers = "each";
  CHECK(losses(output, batch.targets, each).balance.value().item() > 1.5 * joint);
}

TEST_CASE("gradients have the same bits at any thread count, dropout on") {
  const int before = thread_count();
  for (TinyCase c : tiny_cases()) {
    CAPTURE(c.name);
    c.model.dropout = c.model.kind == "lm" ? 0.2 : 0;
    set_thread_count(1);
    const Tensors one = gradients(c, 1);
    for (int threads : {2, 3}) {
      set_thread_count(threads);
      CHECK(same_bits(one, gradients(c, 1)));
    }
  }
  set_thread_count(before);
}

TEST_CASE("with bf16 products gradients stay near, and the same at any thread count and when recomputed") {
  const int before = thread_count();
  for (const char* name : {"lm-rmoe", "llama-smoe", "llama-dense"}) {
    CAPTURE(name);
    TinyCase c = tiny_case(name);
    set_thread_count(1);
    const Tensors exact = gradients(c, 1), rounded = gradients(c, 1, true);
    CHECK(!same_bits(exact, rounded));
    for (size_t i = 0; i < exact.size(); ++i) {
      const Tensor zero = zeros(exact[i].shape(), DType::f32);
      CHECK(largest_difference(exact[i], rounded[i]) < 0.03 * largest_difference(exact[i], zero) + 1e-3);
    }
    set_thread_count(2);
    CHECK(same_bits(rounded, gradients(c, 1, true)));
    c.model.recompute = true;
    CHECK(same_bits(rounded, gradients(c, 1, true)));
    c.model.recompute = false;
    c.model.recompute_experts = true;
    CHECK(same_bits(rounded, gradients(c, 1, true)));
  }
  set_thread_count(before);
}

TEST_CASE("bf16 products are the experts', not the router's") {
  const TinyCase c = tiny_case("llama-rmoe");
  Parameters parameters;
  const Scope scope(parameters, 3, DType::f32, Device::cpu);
  const auto cell = make_router_cell(scope / "cell", c.model, c.router);
  const Moe<SwigluExperts> moe(scope / "moe", c.model, c.router, cell);
  const Var x(to_tensor(random({2, 5, c.model.hidden}, -1, 1, 1), DType::f32));
  const MoeOutput exact = moe(x, {}, {}), rounded = moe(x, {}, {.bf16_products = true});
  CHECK(same_bits({exact.routing.logits.value(), exact.state.h.value()},
                  {rounded.routing.logits.value(), rounded.state.h.value()}));
  CHECK(!same_bits({exact.y.value()}, {rounded.y.value()}));
}

TEST_CASE("dropout masks do not depend on how the batch is split, and change from step to step") {
  TinyCase c = tiny_case("lm-rmoe");
  c.model.dropout = 0.3;
  const Model model(c.model, c.router, 3);
  const Batch batch = tiny_batch(c.model);
  const Memory memory = model.initial_memory(batch.inputs.dim(0));
  const NoGrad guard;
  const Context context{.training = true, .seed = 5, .step = 2};
  const Tensor whole = model(batch.inputs, memory, context).logits().value();
  Context second = context;
  second.first_stream = 1;
  Memory part;
  for (const Tensor& m : memory) part.push_back(m.rows(1, 1));
  const Tensor split = model(batch.inputs.rows(1, 1), part, second).logits().value();
  CHECK(largest_difference(split, whole.rows(1, 1)) < 1e-5);
  Context later = context;
  later.step = 3;
  CHECK(largest_difference(model(batch.inputs, memory, later).logits().value(), whole) > 1e-3);
}

}  // namespace rmoe::test
