#include "train/optimizer.hpp"

#include "ops/elementwise/elementwise.hpp"
#include "tests/tiny_models.hpp"

#include <doctest/doctest.h>
#include <set>

namespace rmoe::test {
namespace {

/// Names of the parameters that one step with gradients of zero changes: those that decay.
std::set<std::string> decaying(const std::string& tiny, const std::string& decay) {
  const TinyCase c = tiny_case(tiny);
  Model model(c.model, c.router, 2);
  spread_parameters(model);
  OptimizerConfig config{.name = "adamw", .weight_decay = 0.1};
  config.decay = decay;
  Optimizer optimizer(config, model.parameters());
  std::vector<Tensor> before;
  for (const Parameter& p : model.parameters()) before.push_back(clone(p.var.value()));
  const Batch batch = tiny_batch(c.model);
  const Var total = losses(model(batch.inputs, model.initial_memory(2), {}), batch.targets, c.router).total;
  backward(scale(total, 0));
  optimizer.step(1, 1e-2, full({}, 1, DType::f64));
  std::set<std::string> changed;
  for (size_t i = 0; i < before.size(); ++i) {
    const Parameter& p = model.parameters()[i];
    if (same_bits({before[i]}, {p.var.value()})) continue;
    changed.insert(p.name);
    CHECK(p.var.value().span<float>()[0] == doctest::Approx(before[i].span<float>()[0] * (1 - 1e-2 * 0.1)));
  }
  return changed;
}

bool is_matrix(const std::string& name) {
  if (name.ends_with(".b1") || name.ends_with(".b2") || name.find("bias") != name.npos) return false;
  return name.find("norm") == name.npos;
}

}  // namespace

TEST_CASE("optimizer: matrices decay; norms and biases, stacked ones too, only if all do") {
  for (const char* name : {"lm-rmoe", "llama-rmoe+everything"}) {
    CAPTURE(name);
    const TinyCase c = tiny_case(name);
    std::set<std::string> matrices, all;
    const Model model(c.model, c.router, 2);
    for (const Parameter& p : model.parameters()) {
      all.insert(p.name);
      if (is_matrix(p.name)) matrices.insert(p.name);
    }
    CHECK(matrices.contains("embed.weight"));
    CHECK(decaying(name, "matrices") == matrices);
    CHECK(decaying(name, "all") == all);
  }
}

}  // namespace rmoe::test
