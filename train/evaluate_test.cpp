#include "train/evaluate.hpp"

#include "tests/tiny_models.hpp"
#include "train/sample.hpp"

#include <algorithm>
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
  for (const char* router : {"smoe", "rmoe"}) {
    TinyCase c = tiny_cases()[0];
    c.router.name = router;
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

TEST_CASE("sample: token by token reads as the whole text does") {
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    const Model model(c.model, c.router, 5);
    std::vector<int32_t> text = text_of(4, c.model.vocab), sampled;
    const SampleOptions greedy{.tokens = 12, .temperature = 0};
    sample(model, text, greedy, [&](int32_t token) { return sampled.push_back(token), true; });
    for (int32_t token : sampled) {
      CHECK(token == likeliest_after(model, text));
      text.push_back(token);
    }
    CHECK(sampled.size() == 12);
  }
}

TEST_CASE("sample: one likeliest token is greedy, and a seed gives one text") {
  const TinyCase c = tiny_cases()[1];
  const Model model(c.model, c.router, 5);
  const auto text = [&](SampleOptions options) {
    std::vector<int32_t> tokens;
    sample(model, {1, 2}, options, [&](int32_t token) { return tokens.push_back(token), true; });
    return tokens;
  };
  CHECK(text({.tokens = 20, .top_k = 1, .seed = 3}) == text({.tokens = 20, .temperature = 0}));
  CHECK(text({.tokens = 20, .seed = 3}) == text({.tokens = 20, .seed = 3}));
  CHECK(text({.tokens = 20, .seed = 3}) != text({.tokens = 20, .seed = 4}));
  CHECK(error_of([&] { sample(model, {}, {}, [](int32_t) { return true; }); }) ==
        "sample: the prompt is empty; give at least one character");
}

}  // namespace rmoe::test
