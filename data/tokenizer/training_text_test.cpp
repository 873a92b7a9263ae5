#include "data/tokenizer/training_text.hpp"

#include "tests/folder.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>
#include <numeric>

namespace rmoe::test {
namespace {

using Texts = std::vector<std::string>;

std::string joined(const Texts& texts) { return std::accumulate(texts.begin(), texts.end(), std::string()); }

std::string words(int64_t n) {
  std::string text;
  for (int64_t i = 0; i < n; ++i) text += concat("word", i * i % 97, i % 13 ? " " : ".\n");
  return text;
}

}  // namespace

TEST_CASE("training text: all of it, in order, in pieces cut at words") {
  const TestFolder folder;
  const std::string text = words(40'000);
  const std::string file = folder.write("a.txt", text);
  const Texts pieces = read_training_text({.inputs = {file}}, {});
  CHECK(joined(pieces) == text);
  REQUIRE(pieces.size() > 3);
  for (size_t i = 0; i < pieces.size(); ++i) {
    CHECK(pieces[i].size() <= 64 << 10);
    if (i > 0) CHECK(pieces[i].starts_with(" word"));
  }
  std::string unbroken;
  for (int i = 0; i < 50'000; ++i) unbroken += "\u4E2D";
  const Texts cut = read_training_text({.inputs = {folder.write("b.txt", unbroken)}}, {});
  CHECK(joined(cut) == unbroken);
  for (const std::string& piece : cut) CHECK(piece.size() % 3 == 0);
}

TEST_CASE("training text: a sample has the wanted size, its own order, and a seed") {
  const TestFolder folder;
  const std::string text = words(200'000);
  const auto sample = [&, file = folder.write("a.txt", text)](int64_t bytes, uint64_t seed) {
    return read_training_text({.inputs = {file}, .bytes = bytes, .seed = seed}, {});
  };
  const Texts some = sample(400'000, 1);
  CHECK(joined(some).size() <= 400'000);
  CHECK(joined(some).size() > 300'000);
  size_t from = 0;
  for (const std::string& piece : some) {
    const size_t at = text.find(piece, from);
    REQUIRE(at != text.npos);
    from = at + piece.size();
  }
  CHECK(some == sample(400'000, 1));
  CHECK(some != sample(400'000, 2));
}

TEST_CASE("training text: JSON lines give their field") {
  const TestFolder folder;
  const std::string file =
      folder.write("a.jsonl", "{\"text\": \"one\\n\"}\n{\"text\": \"two\", \"body\": \"2\"}\n");
  CHECK(read_training_text({.inputs = {file}}, {}) == Texts{"one\n", "two"});
  CHECK(error_of([&] { read_training_text({.inputs = {file}, .field = "body"}, {}); }).find("no \"body\"") !=
        std::string::npos);
}

TEST_CASE("training text: none at all is an error") {
  const TestFolder folder;
  const std::string empty = folder.write("empty.txt", ""), file = folder.write("a.txt", words(100));
  CHECK(error_of([&] {
          read_training_text({.inputs = {empty}}, {});
        }).starts_with("tokenizer: there is no text to learn from"));
  CHECK(error_of([&] { read_training_text({.inputs = {file}, .bytes = 10}, {}); }).find("--input-bytes") !=
        std::string::npos);
}

}  // namespace rmoe::test
