#include "train/sft/examples.hpp"

#include "data/sft/example_stream.hpp"
#include "tests/tiny_models.hpp"
#include "train/scoring.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

/// Examples of 4 to 33 tokens below 11, most of them prompt; one is all prompt.
std::vector<Example> some_examples() {
  std::vector<Example> examples;
  for (int i = 0; i < 12; ++i) {
    const int n = 4 + (i * 7) % 30;
    Example example{{}, i == 5 ? n : n / 2};
    for (int t = 0; t < n; ++t) example.tokens.push_back((t * t + i) % 11);
    examples.push_back(example);
  }
  return examples;
}

Config tiny_config(const std::string& name, const std::string& freeze = "") {
  const TinyCase c = tiny_case(name);
  Config config;
  config.model = c.model;
  config.router = c.router;
  config.router.freeze = freeze;
  config.train = {.steps = 20, .batch = 4, .block = 40, .micro_batches = 1, .analyze_every = 0};
  config.optimizer = {.name = "adamw", .lr = 1e-2, .warmup = 0};
  return config;
}

TrainState make_state(const Config& config, const std::vector<Example>& examples) {
  return {config,
          std::make_unique<ExampleStream>(examples, config.train.batch, config.train.block, uint64_t{1}, 0)};
}

Tensors values(const Model& model) {
  Tensors values;
  for (const Parameter& p : model.parameters()) values.push_back(clone(p.var.value()));
  return values;
}

}  // namespace

TEST_CASE("sft: the loss is the mean over the responses' tokens, as scoring finds them") {
  const auto examples = some_examples();
  for (const char* name : {"lm-rmoe", "llama-rmoe"}) {
    const Config config = tiny_config(name);
    Model model(config.model, config.router, 3);
    spread_parameters(model);
    double sum = 0;
    int64_t tokens = 0;
    for (const Example& example : examples) {
      if (example.learned() == 0) continue;
      const std::vector<ScoreRequest> request{{example.tokens, example.prompt}};
      const std::vector<TokenScore> scores = score(model, request)[0];
      for (const TokenScore& s : scores) {
        sum -= double(s.log_prob);
        ++tokens;
      }
    }
    const Evaluation result = evaluate(model, examples, config.train);
    CHECK(result.tokens == tokens);
    CHECK(result.loss == doctest::Approx(sum / double(tokens)).epsilon(1e-6));
  }
  const Config config = tiny_config("llama-smoe");
  Model model(config.model, config.router, 3);
  CHECK(evaluate(model, {}, config.train).tokens == 0);
  const Example masked{{1, 2, 3}, 3};
  CHECK(evaluate(model, std::span(&masked, 1), config.train).loss == 0);
}

TEST_CASE("sft: micro-batches with padding of their own are the batch") {
  const auto examples = some_examples();
  for (const std::string router : {"llama-rmoe", "llama-dense"}) {
    std::vector<Tensors> after;
    std::vector<double> losses;
    for (const int64_t parts : {1, 2, 4}) {
      Config config = tiny_config(router);
      config.train.micro_batches = parts;
      config.router.balance_weight = 0;  // padding routes too, and there is less of it in smaller parts
      TrainState state = make_state(config, examples);
      for (int i = 0; i < 3; ++i) losses.push_back(train_step(state, config).loss);
      after.push_back(values(state.model));
    }
    for (size_t i = 0; i < 6; ++i) CHECK(losses[3 + i] == doctest::Approx(losses[i % 3]).epsilon(1e-5));
    for (size_t i = 0; i < after[0].size(); ++i) {
      CHECK(largest_difference(after[0][i], after[1][i]) < 1e-4);
      CHECK(largest_difference(after[0][i], after[2][i]) < 1e-4);
    }
  }
}

TEST_CASE("sft: a batch of prompts alone changes nothing but the decay") {
  std::vector<Example> examples(4, Example{{1, 2, 3, 4}, 4});
  Config config = tiny_config("llama-smoe");
  config.router.balance_weight = 0;
  TrainState state = make_state(config, examples);
  const Tensors before = values(state.model);
  const StepResult result = train_step(state, config);
  CHECK(result.loss == 0);
  CHECK(result.grad_norm == 0);
  CHECK(same_bits(values(state.model), before));
}

TEST_CASE("sft: the loss on responses falls, prompts are not learned") {
  std::vector<Example> examples;
  for (int i = 0; i < 8; ++i) examples.push_back({{i, (i * 5 + 3) % 11, 10, i, i}, 3});
  const Config config = tiny_config("llama-rmoe");
  TrainState state = make_state(config, examples);
  const double first = train_step(state, config).loss;
  double last = first;
  for (int i = 0; i < 80; ++i) last = train_step(state, config).loss;
  CHECK(first > 1.5);
  CHECK(last < 0.1);
  std::vector<Example> prompts = examples;
  for (Example& e : prompts)
    e.tokens.resize(3), e.prompt = 0;  // what stood in the prompt, as if to be learned
  CHECK(evaluate(state.model, prompts, config.train).loss > 1.5);
}

TEST_CASE("sft: frozen parameters keep their bits and have no optimizer state") {
  const auto examples = some_examples();
  const auto is_frozen = [](const std::string& name, const std::string& freeze) {
    const bool cell = name.find("router_cell.") != name.npos, router = name.find(".router.") != name.npos;
    return (router && freeze.starts_with("router")) || (cell && freeze.ends_with("recurrent"));
  };
  for (const std::string freeze : {"", "router", "recurrent", "router,recurrent"}) {
    CAPTURE(freeze);
    const Config config = tiny_config("llama-rmoe", freeze);
    TrainState state = make_state(config, examples);
    const Tensors before = values(state.model);
    for (int i = 0; i < 3; ++i) train_step(state, config);
    const Tensors after = values(state.model);
    int64_t frozen = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      const std::string& name = state.model.parameters()[i].name;
      CAPTURE(name);
      frozen += is_frozen(name, freeze);
      CHECK(same_bits({before[i]}, {after[i]}) == is_frozen(name, freeze));
    }
    CHECK(state.optimizer.state().size() == 2 * (before.size() - size_t(frozen)));
    CHECK((frozen > 0) == !freeze.empty());
  }
}

TEST_CASE("sft: epochs become steps") {
  Config config = tiny_config("llama-smoe");
  Examples examples;
  examples.train = some_examples();  // 12, in batches of 4
  config.sft.epochs = 3;
  fit_epochs(config, examples);
  CHECK(config.train.steps == 9);
  config.sft.epochs = 0.4;
  fit_epochs(config, examples);
  CHECK(config.train.steps == 2);
  config.sft.epochs = 0;
  config.train.steps = 77;
  fit_epochs(config, examples);
  CHECK(config.train.steps == 77);
}

}  // namespace rmoe::test
