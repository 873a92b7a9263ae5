#include "data/tokenizer/train_sentencepiece.hpp"

#include "data/tokenizer/test_tokenizers.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

std::vector<std::string> some_texts() {
  std::vector<std::string> texts;
  for (int i = 0; i < 4; ++i) texts.push_back(golden_bytes("nasty.txt") + broken_text());
  return texts;
}

}  // namespace

TEST_CASE("SentencePiece training: a model of the wanted kind, the same every time" *
          doctest::skip(!can_train_sentencepiece())) {
  const BpeModel model = train_sentencepiece(some_texts(), {.vocabulary = 700}, {});
  CHECK(model.file_bytes == train_sentencepiece(some_texts(), {.vocabulary = 700}, {}).file_bytes);
  CHECK(model.names[0] == "<unk>");
  CHECK(model.bos == 1);
  CHECK(model.eos == 2);
  CHECK(model.pad == 3);
  CHECK(model.prefix == PrefixSpace::none);
  CHECK(model.split == SplitRule::spaces);
  CHECK(model.pieces.size() <= 700);
  CHECK(model.merges.size() > 50);
  const BpeTokenizer tokenizer(model);
  CHECK(tokenizer.decode(tokenizer.encode(broken_text())) == broken_text());
}

TEST_CASE("SentencePiece training: a vocabulary without room is an error in one line" *
          doctest::skip(!can_train_sentencepiece())) {
  CHECK(error_of([] { train_sentencepiece(some_texts(), {.vocabulary = 300, .coverage = 1}, {}); }) ==
        "tokenizer: a vocabulary of 300 has no room for every character of the text: raise --vocab or lower "
        "--coverage");
  CHECK(error_of([] {
          train_sentencepiece({"\n\n"}, {.vocabulary = 300}, {});
        }).starts_with("tokenizer: SentencePiece"));
}

TEST_CASE("SentencePiece training: a text that runs dry gives what it has" *
          doctest::skip(!can_train_sentencepiece())) {
  // "abcdefghij..." in lines of two: no merges beyond the pairs, of which there are `pairs`.
  for (const int pairs : {0, 1, 99, 100, 200, 250}) {
    CAPTURE(pairs);
    std::string text = "a\n";
    for (int i = 0; i < pairs; ++i) text += concat(char('a' + i / 16), char('a' + i % 16), "\n");
    const BpeModel model = train_sentencepiece({text}, {.vocabulary = 2000, .coverage = 1}, {});
    CHECK(model.merges.size() == size_t(pairs));
  }
}

TEST_CASE("SentencePiece training: progress can stop it" * doctest::skip(!can_train_sentencepiece())) {
  struct Stop {};
  const Progress progress{{}, [](const std::string&, int64_t, int64_t) { throw Stop(); }};
  CHECK_THROWS_AS(train_sentencepiece(some_texts(), {.vocabulary = 700}, progress), Stop);
}

TEST_CASE("SentencePiece training: without the library the error says what to install" *
          doctest::skip(can_train_sentencepiece())) {
  CHECK(error_of([] { train_sentencepiece({"a"}, {.vocabulary = 300}, {}); }).find("libsentencepiece-dev") !=
        std::string::npos);
}

}  // namespace rmoe::test
