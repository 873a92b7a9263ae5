#include "train/sample.hpp"

#include "tests/tiny_models.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

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
