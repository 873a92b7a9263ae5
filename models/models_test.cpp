#include "autograd/gradcheck.hpp"
#include "engine/parallel.hpp"
#include "models/model.hpp"
#include "tests/tiny_models.hpp"

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

/// Where a value passes without its gradient, only what comes after the last such place has the gradient that
/// finite differences see.
bool detaches(const TinyCase& c) { return c.router.name.ends_with("detach"); }
bool is_last_layer(const Parameter& p, const TinyCase& c) {
  return p.name.starts_with(concat("layers.", c.model.layers - 1, "."));
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
      return Vars{losses(model(batch.inputs, memory, {}), batch.targets, c.router).total};
    };
    Vars leaves;
    for (const Parameter& p : model.parameters())
      if (p.var.requires_grad() && (!detaches(c) || is_last_layer(p, c))) leaves.push_back(p.var);
    // Every element for the two main routers; for the others a few of every parameter.
    const bool main = c.router.name == "smoe" || c.router.name == "rmoe";
    const GradcheckResult result = gradcheck(f, leaves, {.step = 1e-5, .most = main ? -1 : 6});
    CHECK_MESSAGE(result.error < 1e-7, "off by ", result.error, " at ", result.where);
  }
  set_thread_count(before);
}

TEST_CASE("recomputed blocks give the same bits as kept ones, dropout on") {
  for (TinyCase c : tiny_cases()) {
    CAPTURE(c.name);
    c.model.dropout = c.model.kind == "lm" ? 0.2 : 0;
    const Tensors kept = gradients(c, 1);
    c.model.recompute = true;
    CHECK(same_bits(kept, gradients(c, 1)));
  }
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
