#include "train/sample.hpp"

#include "tests/tiny_models.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {

TEST_CASE("choose_token: temperature 0 takes the likeliest, of equal ones the lower") {
  const std::vector<float> logits{1, 3, 2, 3};
  for (const double u : {0.0, 0.999}) CHECK(choose_token(logits, {.temperature = 0}, u) == 1);
}

TEST_CASE("choose_token: draws by the softmax of what top_k leaves, the likeliest first") {
  const std::vector<float> logits{0, float(std::log(2)), float(std::log(5))};  // 1 : 2 : 5
  const auto draw = [&](double u, int64_t k) { return choose_token(logits, {.top_k = k}, u); };
  CHECK(draw(0.624, 0) == 2);
  CHECK(draw(0.626, 0) == 1);
  CHECK(draw(0.874, 0) == 1);
  CHECK(draw(0.876, 0) == 0);
  CHECK(draw(0.999, 2) == 1);
  CHECK(draw(5.01 / 7, 2) == 1);
  CHECK(draw(4.99 / 7, 2) == 2);
  CHECK(draw(0.999, 1) == 2);
  CHECK(draw(0.999, 99) == 0);
}

TEST_CASE("choose_token: a low temperature sharpens") {
  const std::vector<float> logits{0, 1};
  CHECK(choose_token(logits, {.temperature = 1}, 0.8) == 0);    // 1 has 0.73
  CHECK(choose_token(logits, {.temperature = 0.5}, 0.8) == 1);  // 0.88
}

TEST_CASE("sample: the same seed gives the same text, which emit may stop") {
  const TinyCase c = tiny_case("llama-rmoe");
  const Model model(c.model, c.router, 3);
  const auto text = [&](uint64_t seed, size_t most) {
    std::vector<int32_t> tokens;
    sample(model, {1, 2}, {.tokens = 12, .seed = seed}, [&](int32_t token) {
      tokens.push_back(token);
      return tokens.size() < most;
    });
    return tokens;
  };
  CHECK(text(1, 99).size() == 12);
  CHECK(text(1, 99) == text(1, 99));
  CHECK(text(1, 99) != text(2, 99));
  CHECK(text(1, 5).size() == 5);
  CHECK(error_of([&] { sample(model, {}, {}, [](int32_t) { return true; }); }) ==
        "sample: the prompt is empty; give at least one character");
}

}  // namespace rmoe::test
