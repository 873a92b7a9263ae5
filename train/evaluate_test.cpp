#include "train/evaluate.hpp"

#include "tests/tiny_models.hpp"
#include "train/sample.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

std::vector<int32_t> text_of(int64_t n, int64_t vocab) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(int32_t((i * i + 3 * i) % vocab));
  return tokens;
}

/// The likeliest token after `tokens`, read as one block.
int32_t likeliest_after(const Model& model, const std::vector<int32_t>& tokens) {
  const NoGrad guard;
  const int64_t T = int64_t(tokens.size());
  const Tensor logits = model(from_vector(tokens, {1, T}), model.initial_memory(1), {}).logits().value();
  const auto last = logits.reshape({T, logits.dim(2)}).rows(T - 1, 1).span<float>();
  return int32_t(std::max_element(last.begin(), last.end()) - last.begin());
}

}  // namespace

TEST_CASE("evaluate: memory carried over short blocks gives the loss of long ones") {
  for (const char* name : {"lm-smoe", "lm-rmoe"}) {
    const TinyCase c = tiny_case(name);
    const Model model(c.model, c.router, 5);
    const std::vector<int32_t> tokens = text_of(2 * 25, c.model.vocab);
    const Evaluation whole = evaluate(model, tokens, 2, 24, -1), parts = evaluate(model, tokens, 2, 6, -1);
    CHECK(whole.tokens == 48);
    CHECK(parts.tokens == 48);
    CHECK(parts.loss == doctest::Approx(whole.loss).epsilon(1e-6));
    CHECK(evaluate(model, tokens, 2, 6, 1).tokens == 12);
    CHECK(evaluate(model, tokens, 2, 6, -1, [](int64_t done, int64_t) { return done < 3; }).tokens == 36);
  }
}

TEST_CASE("evaluate: the exact protocol predicts every token but the first, as a loop by hand does") {
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    const Model model(c.model, c.router, 5);
    const int64_t n = 30, T = 8;  // three whole blocks and one of five
    const std::vector<int32_t> tokens = text_of(n, c.model.vocab);
    CHECK(evaluate(model, tokens, 2, T, -1).tokens == 2 * T);  // 2 streams of 15: one block each
    const Evaluation exact = evaluate_exact(model, tokens, T);
    CHECK(exact.tokens == n - 1);

    const NoGrad guard;
    Memory memory = model.initial_memory(1);
    double sum = 0;
    for (int64_t begin = 0; begin < n - 1; begin += T) {
      const int64_t end = std::min(begin + T, n - 1);
      const std::vector<int32_t> inputs(tokens.begin() + begin, tokens.begin() + end);
      ModelOutput output = model(from_vector(inputs, {1, end - begin}), memory, {});
      const Tensor all = output.logits().value();  // [1,T,V]
      const Array logits = to_array(all.reshape({end - begin, all.dim(2)}));
      for (int64_t i = begin; i < end; ++i) {
        const double* z = logits.data.data() + (i - begin) * logits.shape[1];
        double total = 0;
        for (int64_t v = 0; v < logits.shape[1]; ++v) total += std::exp(z[v] - z[tokens[i + 1]]);
        sum += std::log(total);
      }
      memory = std::move(output.memory);
    }
    CHECK(exact.loss == doctest::Approx(sum / double(n - 1)).epsilon(1e-6));
    CHECK(evaluate_exact(model, tokens, T, [](int64_t done, int64_t all) {
            return all == 4 && done < 2;
          }).tokens == 2 * T);
  }
}

TEST_CASE("sample: token by token reads as the whole text does") {
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    const Model model(c.model, c.router, 5);
    std::vector<int32_t> text = text_of(4, c.model.vocab), sampled;
    const SampleOptions greedy{.tokens = 12, .choice = {.temperature = 0}};
    sample(model, text, greedy, [&](int32_t token) { return sampled.push_back(token), true; });
    for (int32_t token : sampled) {
      CHECK(token == likeliest_after(model, text));
      text.push_back(token);
    }
    CHECK(sampled.size() == 12);
  }
}

TEST_CASE("sample: one likeliest token is greedy, and a seed gives one text") {
  const TinyCase c = tiny_case("lm-rmoe");
  const Model model(c.model, c.router, 5);
  const auto text = [&](SampleOptions options) {
    std::vector<int32_t> tokens;
    sample(model, {1, 2}, options, [&](int32_t token) { return tokens.push_back(token), true; });
    return tokens;
  };
  CHECK(text({.tokens = 20, .choice = {.top_k = 1}, .seed = 3}) ==
        text({.tokens = 20, .choice = {.temperature = 0}}));
  CHECK(text({.tokens = 20, .seed = 3}) == text({.tokens = 20, .seed = 3}));
  CHECK(text({.tokens = 20, .seed = 3}) != text({.tokens = 20, .seed = 4}));
  CHECK(error_of([&] { sample(model, {}, {}, [](int32_t) { return true; }); }) ==
        "sample: the prompt is empty; give at least one character");
}

}  // namespace rmoe::test
