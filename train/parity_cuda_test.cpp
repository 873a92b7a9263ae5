// Whole models on a GPU, emulated or real, against the same on the CPU.
#include "tests/tiny_models.hpp"
#include "train/step.hpp"
#include "train/weights.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

struct Pass {
  double loss;
  Tensors grads;
};

/// Loss and gradients of a model with dropout and a memory, from the same parameters everywhere.
Pass run(const TinyCase& c, DType dtype, Device device) {
  const Model start(c.model, c.router, 3);
  spread_parameters(start);
  const Model model(c.model, c.router, 3, dtype, device);
  assign(c.name, model.parameters(), named_values(start.parameters()));
  const Batch batch = tiny_batch(c.model);
  const Context context{.training = true, .limit_experts = true, .seed = 4, .step = 1};
  const Losses l = losses(model(batch.inputs, warm_memory(model), context), batch.targets, c.router);
  backward(l.total);
  Pass pass{l.total.value().item(), {}};
  for (const Parameter& p : model.parameters())
    if (p.var.requires_grad()) pass.grads.push_back(p.var.grad());
  return pass;
}

/// The case of that name, and the same with dropout and widths at which experts are fused in bf16. No token
/// is so near to a tie that rounding sends it to other experts, which at these sizes is a tenth of a
/// gradient.
std::vector<TinyCase> in_both_widths(const std::string& name) {
  const TinyCase odd = tiny_case(name);
  TinyCase even = odd;
  even.name += ", fused";
  even.model.hidden = 24;
  even.model.expert_hidden = 16;
  even.model.dropout = 0.1;
  return {odd, even};
}

double norm(const Array& a) {
  double squares = 0;
  for (const double x : a.data) squares += x * x;
  return std::sqrt(squares);
}

/// |a - b| / |b|, over all tensors as one vector.
double relative_error(const Tensors& a, const Tensors& b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    Array x = to_array(a[i]);
    const Array y = to_array(b[i]);
    size += norm(y) * norm(y);
    for (size_t j = 0; j < x.data.size(); ++j) x.data[j] -= y.data[j];
    error += norm(x) * norm(x);
  }
  return std::sqrt(error / size);
}

Config training_config(const TinyCase& c) {
  Config config = tiny_training(c);
  config.model.dropout = 0.2;
  config.train.micro_batches = 2;
  config.train.steps = 10;
  config.optimizer.lr = 1e-2;
  config.optimizer.eps = 1e-3;  // or Adam would turn the rounding of a gradient near zero into a whole step
  config.optimizer.warmup = 0;
  return config;
}

std::vector<StepResult> ten_steps(Config config, Device device, const std::string& precision = "fp32") {
  config.train.precision = precision;
  std::vector<int32_t> text;
  for (int64_t i = 0; i < 300; ++i) text.push_back(int32_t((i * i + i / 7) % config.model.vocab));
  TrainState state(config, std::make_unique<BatchStream>(text, config.train.batch, config.train.block, 1),
                   device);
  std::vector<StepResult> steps;
  for (int i = 0; i < 10; ++i) steps.push_back(train_step(state, config));
  return steps;
}

}  // namespace

TEST_CASE("GPU: every model has the loss and the gradients it has on the CPU") {
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    const Pass wanted = run(c, DType::f32, Device::cpu), got = run(c, DType::f32, Device::cuda);
    CHECK(got.loss == doctest::Approx(wanted.loss).epsilon(1e-5));
    REQUIRE(got.grads.size() == wanted.grads.size());
    for (size_t i = 0; i < got.grads.size(); ++i) {
      const double scale = std::max(norm(to_array(wanted.grads[i])), 1e-3);
      CHECK(largest_difference(got.grads[i], wanted.grads[i]) < 1e-4 * scale);
    }
  }
}

TEST_CASE("GPU: bf16 stays near fp32") {
  for (const char* name : {"lm-smoe", "lm-rmoe", "llama-smoe", "llama-rmoe", "llama-dense"})
    for (const TinyCase& c : in_both_widths(name)) {
      CAPTURE(c.name);
      const Pass wanted = run(c, DType::f32, Device::cpu), got = run(c, DType::bf16, Device::cuda);
      CHECK(std::fabs(got.loss - wanted.loss) < 0.02 * wanted.loss);
      CHECK(relative_error(got.grads, wanted.grads) < 0.1);
    }
}

TEST_CASE("GPU: ten training steps are the CPU's") {
  for (const char* name : {"lm-smoe", "lm-rmoe", "llama-smoe", "llama-rmoe"}) {
    CAPTURE(name);
    const Config config = training_config(tiny_case(name));
    const auto wanted = ten_steps(config, Device::cpu), got = ten_steps(config, Device::cuda);
    for (size_t i = 0; i < wanted.size(); ++i) {
      CAPTURE(i);
      CHECK(std::fabs(got[i].loss - wanted[i].loss) < 1e-4);
      CHECK(got[i].balance == doctest::Approx(wanted[i].balance).epsilon(1e-4));
      CHECK(got[i].grad_norm == doctest::Approx(wanted[i].grad_norm).epsilon(1e-3));
      CHECK(got[i].load == doctest::Approx(wanted[i].load));
      CHECK(got[i].entropy == doctest::Approx(wanted[i].entropy).epsilon(1e-4));
    }
  }
}

TEST_CASE("GPU: ten training steps in bf16 stay near those in fp32") {
  for (const char* name : {"lm-rmoe", "llama-rmoe"})
    for (const TinyCase& c : in_both_widths(name)) {
      CAPTURE(c.name);
      const Config config = training_config(c);
      const auto wanted = ten_steps(config, Device::cpu), got = ten_steps(config, Device::cuda, "bf16");
      for (size_t i = 0; i < wanted.size(); ++i) CHECK(std::fabs(got[i].loss - wanted[i].loss) < 0.05);
    }
}

}  // namespace rmoe::test
