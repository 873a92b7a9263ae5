#include "train/step.hpp"

#include "tests/tiny_models.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Config tiny_config(const TinyCase& c, int64_t micro_batches, const std::string& balance_over = "batch") {
  Config config;
  config.model = c.model;
  config.model.dropout = 0.2;
  config.router = c.router;
  config.router.balance_weight = 0.5;
  config.router.balance_over = balance_over;
  config.train.batch = 4;
  config.train.block = 6;
  config.train.micro_batches = micro_batches;
  config.optimizer.lr = 1e-2;
  config.optimizer.eps = 1e-3;  // or Adam would turn the rounding of a gradient near zero into a whole step
  config.optimizer.warmup = 0;
  return config;
}

struct Trained {
  std::vector<StepResult> steps;
  Tensors parameters;
};

std::unique_ptr<Stream> stream_over(const std::vector<int32_t>& text, const Config& config) {
  return std::make_unique<BatchStream>(text, config.train.batch, config.train.block, 1);
}

Trained four_steps(const Config& config) {
  std::vector<int32_t> text;
  for (int64_t i = 0; i < 200; ++i) text.push_back(int32_t((i * i + i / 7) % config.model.vocab));
  TrainState state(config, stream_over(text, config));
  Trained trained;
  for (int i = 0; i < 4; ++i) trained.steps.push_back(train_step(state, config));
  for (const Parameter& p : state.model.parameters()) trained.parameters.push_back(p.var.value());
  return trained;
}

/// Of four streams one counts everything, one half, one a single target and one none.
Trained one_masked_step(const Config& config) {
  const std::vector<int32_t> text(200);
  TrainState state(config, stream_over(text, config));
  std::vector<int32_t> inputs, targets;
  for (int32_t i = 0; i < 24; ++i) {
    const int32_t stream = i / 6, t = i % 6;
    inputs.push_back((i * 5 + 2) % 11);
    targets.push_back(stream == 0 || (stream == 1 && t % 2) || (stream == 2 && t == 4) ? i * i % 11 : -1);
  }
  Trained trained;
  trained.steps.push_back(
      train_step(state, config, {from_vector(inputs, {4, 6}), from_vector(targets, {4, 6}), false}));
  for (const Parameter& p : state.model.parameters()) trained.parameters.push_back(p.var.value());
  return trained;
}

/// The largest difference of any loss, balance loss or parameter.
double difference(const Trained& a, const Trained& b) {
  double most = 0;
  for (size_t i = 0; i < a.steps.size(); ++i)
    most = std::max({most, std::fabs(a.steps[i].loss - b.steps[i].loss),
                     std::fabs(a.steps[i].balance - b.steps[i].balance)});
  for (size_t i = 0; i < a.parameters.size(); ++i)
    most = std::max(most, largest_difference(a.parameters[i], b.parameters[i]));
  return most;
}

}  // namespace

TEST_CASE("train_step: micro-batches train as the whole batch does, dropout and load balance included") {
  for (const TinyCase& c : tiny_cases()) {
    if (c.router.capacity_factor > 0) continue;  // a capacity is a micro-batch's own
    CAPTURE(c.name);
    const Trained whole = four_steps(tiny_config(c, 1));
    for (const int64_t parts : {2, 3, 4}) {
      CAPTURE(parts);
      CHECK(difference(four_steps(tiny_config(c, parts)), whole) < 1e-5);
      const Trained apart = four_steps(tiny_config(c, parts, "micro_batch"));
      CHECK((difference(apart, whole) > 1e-4) == (c.router.name != "dense"));
    }
  }
}

TEST_CASE("train_step: micro-batches that count different numbers of targets train as the whole batch does") {
  for (const char* name : {"lm-rmoe", "llama-smoe", "llama-dense"}) {
    CAPTURE(name);
    const TinyCase c = tiny_case(name);
    const Trained whole = one_masked_step(tiny_config(c, 1));
    for (const int64_t parts : {2, 3, 4}) {
      CAPTURE(parts);
      CHECK(difference(one_masked_step(tiny_config(c, parts)), whole) < 1e-6);
    }
  }
}

TEST_CASE("train_step: micro-batches whose experts have room for all train as the whole batch does") {
  TinyCase c = tiny_case("llama-rmoe+everything");
  c.router.capacity_factor = double(c.model.experts);  // no expert can get more than all
  CHECK(difference(four_steps(tiny_config(c, 2)), four_steps(tiny_config(c, 1))) < 1e-5);
}

TEST_CASE("train_step: the drop ratio is over all layers and micro-batches, each with its own capacity") {
  TinyCase c = tiny_case("lm-smoe");
  const auto ratio = [&](int64_t parts) { return four_steps(tiny_config(c, parts)).steps[0].drop_ratio; };
  CHECK(ratio(2) == 0);
  c.router.capacity_factor = 1e-9;  // one assignment for every expert that is chosen at all
  const double most_kept = double(c.model.experts) / (24 * double(c.model.top_k));
  CHECK(ratio(1) >= 1 - most_kept);
  CHECK(ratio(1) < 1);
  CHECK(ratio(4) >= 1 - 4 * most_kept);
  CHECK(ratio(4) < ratio(1));
}

TEST_CASE("train_step: the router z-loss is reported and makes logits small") {
  TinyCase c = tiny_case("llama-smoe");
  const auto last_z = [&](double weight) {
    c.router.z_loss_weight = weight;
    return four_steps(tiny_config(c, 2)).steps[3].z_loss;
  };
  CHECK(last_z(0) == 0);
  CHECK(last_z(1) < last_z(1e-6));
}

TEST_CASE("train_step: a batch in parts counts the FLOPs of the model, not of the pass that counts loads") {
  const TinyCase c = tiny_case("lm-rmoe");
  CHECK(four_steps(tiny_config(c, 2)).steps[3].flops == four_steps(tiny_config(c, 1)).steps[3].flops);
}

TEST_CASE("train_step: what backward computes again is not counted as work") {
  TinyCase c = tiny_case("llama-rmoe");
  const double kept = four_steps(tiny_config(c, 1)).steps[3].flops;
  c.model.recompute = true;
  CHECK(four_steps(tiny_config(c, 1)).steps[3].flops == kept);
}

}  // namespace rmoe::test
