#include "data/tokens.hpp"

#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

TEST_CASE("tokens: pieces of 16 and 32 bits read as one sequence") {
  const std::vector<uint16_t> narrow{1, 2, 3};
  const std::vector<uint32_t> wide{70000, 5};
  Tokens tokens(std::vector<int32_t>{9, 8});
  tokens.append({std::span<const uint16_t>(narrow), 100, "narrow", {}});
  tokens.append({std::span<const uint32_t>(), 100, "empty", {}});
  tokens.append({std::span<const uint32_t>(wide), 70001, "wide", {}});
  CHECK(tokens.size() == 7);
  CHECK(tokens.to_vector() == std::vector<int32_t>{9, 8, 1, 2, 3, 70000, 5});
  for (int64_t begin = 0; begin <= 7; ++begin) {
    std::vector<int32_t> out(size_t(7 - begin));
    tokens.copy(begin, out);
    const auto all = tokens.to_vector();
    CHECK(std::equal(out.begin(), out.end(), all.begin() + begin));
  }
  std::vector<int32_t> out(3);
  CHECK_THROWS_WITH_AS(tokens.copy(5, out), "data: tokens 5 to 8 of 7 do not exist", Error);
  CHECK_THROWS_AS(tokens.copy(-1, out), Error);
}

TEST_CASE("tokens: one that is not in the vocabulary is named with its file and place") {
  const std::vector<uint32_t> ids{1, 2, 10, 3};
  Tokens tokens(std::vector<int32_t>{7});
  tokens.append({std::span<const uint32_t>(ids), 10, "train-00000.bin", {}});
  std::vector<int32_t> out(2);
  tokens.copy(1, out);
  CHECK_THROWS_WITH_AS(
      tokens.copy(2, out),
      "data: train-00000.bin: token 2 is 10, which is not in the vocabulary of 10: the file is "
      "damaged, or belongs to another tokenizer",
      Error);
}

TEST_CASE("tokens: a view shares, a copy keeps") {
  std::vector<int32_t> text{1, 2, 3};
  const Tokens view = Tokens::view(text), copy(text);
  text[1] = 5;
  CHECK(view.to_vector() == text);
  CHECK(copy.to_vector() == std::vector<int32_t>{1, 2, 3});
  CHECK(Tokens().empty());
}

}  // namespace rmoe::test
