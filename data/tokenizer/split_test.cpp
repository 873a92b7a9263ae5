#include "data/tokenizer/split.hpp"

#include <doctest/doctest.h>
#include <string>
#include <vector>

namespace rmoe::test {
namespace {

using Words = std::vector<std::string>;

Words split(SplitRule rule, std::string_view text) {
  Words words;
  for (size_t begin = 0, end; begin < text.size(); begin = end) {
    end = word_end(rule, text, begin);
    REQUIRE(end > begin);
    words.emplace_back(text.substr(begin, end - begin));
  }
  return words;
}

}  // namespace

TEST_CASE("split: GPT-2's words") {
  const auto gpt2 = [](std::string_view text) { return split(SplitRule::gpt2, text); };
  CHECK(gpt2("It's they'll DON'T 'd") == Words{"It", "'s", " they", "'ll", " DON", "'", "T", " '", "d"});
  CHECK(gpt2("a  b   ") == Words{"a", " ", " b", "   "});
  CHECK(gpt2("a\n\nb\tc \n d") == Words{"a", "\n", "\n", "b", "\t", "c", " \n", " d"});
  CHECK(gpt2("x12 345,67!? ...") == Words{"x", "12", " 345", ",", "67", "!?", " ..."});
  CHECK(gpt2("caf\u00E9 \u4E2D\u6587 \u0661\u00BD e\u0301") ==
        Words{"caf\u00E9", " \u4E2D\u6587", " \u0661\u00BD", " e", "\u0301"});
  CHECK(gpt2("a\u00A0\u3000b") == Words{"a", "\u00A0", "\u3000", "b"});
  CHECK(gpt2("\xC3 a\xE2\x82") == Words{"\xC3", " a", "\xE2\x82"});  // broken bytes are signs
  CHECK(gpt2(std::string(1, '\0') + "a") == Words{std::string(1, '\0'), "a"});
  CHECK(gpt2(" ") == Words{" "});
  CHECK(gpt2("") == Words{});
}

TEST_CASE("split: the words of Llama 3 and Qwen 2") {
  const auto llama3 = [](std::string_view text) { return split(SplitRule::llama3, text); };
  CHECK(llama3("It'S (the'LL \u2019s") == Words{"It", "'S", " (", "the", "'LL", " \u2019", "s"});
  CHECK(llama3("'\u017Fx") == Words{"'\u017F", "x"});
  CHECK(llama3("1234567 89") == Words{"123", "456", "7", " ", "89"});
  CHECK(llama3("a \n\n  b!\n\nc\t d") == Words{"a", " \n\n", " ", " b", "!\n\n", "c", "\t", " d"});
  CHECK(llama3("\nword") == Words{"\n", "word"});
  CHECK(llama3("_word  ") == Words{"_word", "  "});
  CHECK(split(SplitRule::qwen2, "x123") == Words{"x", "1", "2", "3"});
}

TEST_CASE("split: words with the spaces before them, or none") {
  CHECK(split(SplitRule::spaces, "  a b\nc  d ") == Words{"  a", " b\nc", "  d", " "});
  CHECK(split(SplitRule::none, " a b ") == Words{" a b "});
}

}  // namespace rmoe::test
