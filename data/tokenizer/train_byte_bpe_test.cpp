#include "data/tokenizer/train_byte_bpe.hpp"

#include "data/tokenizer/test_tokenizers.hpp"
#include "engine/parallel.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

/// The merges as text: "a b".
std::vector<std::string> merges_of(const std::vector<std::string>& texts, int64_t vocabulary,
                                   int64_t least_count = 2) {
  const BpeModel model = train_byte_bpe(texts, {.vocabulary = vocabulary, .least_count = least_count}, {});
  std::vector<std::string> merges;
  for (const MergeRule& rule : model.merges)
    merges.push_back(model.names[rule.left] + "+" + model.names[rule.right]);
  return merges;
}

using Merges = std::vector<std::string>;

}  // namespace

TEST_CASE("byte BPE training: the most frequent pair first, the lowest of equals, within words") {
  CHECK(merges_of({"ab ab ab cab"}, 259) == Merges{"a+b", "\u0120+ab"});
  CHECK(merges_of({"ba ab ba ab"}, 258) == Merges{"a+b"});  // 2 of each: a+b, b+a, ...
  CHECK(merges_of({"aaaa aaaa"}, 300) ==
        Merges{"a+a", "aa+aa"});              // overlapping pairs are counted, then merged
  CHECK(merges_of({"xy"}, 300) == Merges{});  // once is not often
  CHECK(merges_of({"xy"}, 300, 1) == Merges{"x+y"});
  CHECK(merges_of({}, 300) == Merges{});
}

TEST_CASE("byte BPE training: a piece made in two ways is one token") {
  // "abab", then "aba" both as ab+a and as a+ba where the words leave no other.
  const BpeModel model = train_byte_bpe({std::string("aba aba aba xba xba xba xba yab yab yab yab yab")},
                                        {.vocabulary = 270, .least_count = 1}, {});
  std::vector<std::string> names = model.names;
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

TEST_CASE("byte BPE training: ids, special tokens, and any text comes back") {
  const std::string nasty = golden_bytes("nasty.txt");
  const BpeModel model = train_byte_bpe({nasty, nasty}, {.vocabulary = 400}, {});
  CHECK(model.pieces.size() == 400);
  CHECK(model.names[0] == "<|endoftext|>");
  CHECK(model.names[1] == "!");
  CHECK(model.eos == 0);
  CHECK(model.merges.size() >= 400 - 257);
  const BpeTokenizer tokenizer(model);
  CHECK(tokenizer.decode(tokenizer.encode(broken_text())) == broken_text());
  CHECK(tokenizer.encode(nasty).size() < nasty.size() * 2 / 3);
  CHECK(error_of([] { train_byte_bpe({"a"}, {.vocabulary = 256}, {}); }) ==
        "tokenizer: a vocabulary of 256 is too small: 256 bytes and 1 special tokens take 257");
}

TEST_CASE("byte BPE training: the same file at any thread count") {
  const int threads = thread_count();
  std::vector<std::string> texts;
  for (int i = 0; i < 40; ++i) texts.push_back(golden_bytes("nasty.txt").substr(size_t(i)));
  std::vector<std::string> files;
  for (const int n : {1, 2, 3}) {
    set_thread_count(n);
    files.push_back(train_byte_bpe(texts, {.vocabulary = 500}, {}).file_bytes);
  }
  set_thread_count(threads);
  CHECK(files[0] == files[1]);
  CHECK(files[0] == files[2]);
}

TEST_CASE("byte BPE training: progress can stop it") {
  struct Stop {};
  const Progress progress{{}, [](const std::string&, int64_t, int64_t) { throw Stop(); }};
  CHECK_THROWS_AS(train_byte_bpe({"ab ab"}, {.vocabulary = 300}, progress), Stop);
}

}  // namespace rmoe::test
