// `rmoe tokenizer`, as a user runs it.
#include "data/tokenizer/train_sentencepiece.hpp"
#include "tests/op_case.hpp"
#include "tests/process.hpp"

#include <csignal>
#include <doctest/doctest.h>
#include <thread>

namespace rmoe::test {
namespace {

using Args = std::vector<std::string>;

ProcessResult tokenizer(const TestFolder& folder, Args args) {
  args.insert(args.begin(), "tokenizer");
  return rmoe(folder.path(), args);
}

std::string done(const TestFolder& folder, const Args& args) {
  const ProcessResult result = tokenizer(folder, args);
  REQUIRE_MESSAGE(result.code == 0, result.err);
  return result.out;
}

std::string rhyme(int verses) {
  std::string text;
  for (int i = 0; i < verses; ++i)
    text += concat("In the ", i, ". beginning there was the word, and the word was.\n");
  return text;
}

}  // namespace

TEST_CASE("rmoe tokenizer: bytes, from text to text") {
  const TestFolder folder;
  folder.write("text.txt", rhyme(400));
  const std::string told =
      done(folder, {"train", "--kind", "bytes", "--vocab", "300", "--out", "t", "text.txt"});
  CHECK(told.find("tokenizer.json: 300 tokens") != told.npos);
  CHECK(done(folder, {"info", "t"}).find("ends it: <|endoftext|> (0)") != std::string::npos);

  const std::string ids = done(folder, {"encode", "t", "text.txt"});
  folder.write("ids", ids);
  CHECK(done(folder, {"decode", "t", "ids"}) == rhyme(400));
  CHECK(done(folder, {"encode", "t", "text.txt", "--pieces"}).find(" \u0120the ") != std::string::npos);

  folder.write("lines", "the\nthe<|endoftext|>\n");
  const std::string lines = done(folder, {"encode", "t", "lines", "--lines", "--special"});
  CHECK(lines.ends_with(" 0\n"));
  folder.write("ids", lines);
  CHECK(done(folder, {"decode", "t", "ids", "--lines"}) == "the\nthe<|endoftext|>\n");

  done(folder, {"export", "t", "--to", "hf", "--out", "hf"});
  done(folder, {"import", "hf", "--out", "again"});
  CHECK(done(folder, {"encode", "again", "text.txt"}) == done(folder, {"encode", "t", "text.txt"}));
}

TEST_CASE("rmoe tokenizer: SentencePiece, and what it exports" * doctest::skip(!can_train_sentencepiece())) {
  const TestFolder folder;
  folder.write("text.txt", rhyme(50));
  const ProcessResult trained = tokenizer(folder, {"train", "--vocab", "2000", "--out", "t", "text.txt"});
  CHECK_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.err.find("the text gives no more than 487 tokens, 2000 were wanted: give it more text, or "
                         "ask for --vocab 487\n") != std::string::npos);
  CHECK(trained.out.starts_with("tokenizer.model: 487 tokens\n"));
  const std::string ids = done(folder, {"encode", "t", "text.txt"});
  done(folder, {"export", "t", "--out", "hf"});
  CHECK(done(folder, {"encode", "hf", "text.txt"}) == ids);
}

TEST_CASE("rmoe tokenizer: mistakes get one line") {
  const TestFolder folder;
  folder.write("text.txt", "abc");
  folder.write("model/tokenizer.model", "no model");
  folder.write("ids", "1 x 2");
  struct Mistake {
    Args args;
    int code;
    std::string message;
  };
  for (const Mistake& m : std::vector<Mistake>{
           {{}, 2, "subcommand"},
           {{"train", "text.txt"}, 2, "--out"},
           {{"train", "--kind", "words", "--out", "t", "text.txt"}, 2, "words"},
           {{"train", "--vocab", "7", "--out", "t", "text.txt"}, 2, "--vocab"},
           {{"train", "--kind", "bytes", "--out", "t", "none.txt"}, 1, "no file or folder none.txt"},
           {{"encode", "none", "text.txt"}, 1, "none"},
           {{"encode", "model", "text.txt"}, 1, "tokenizer.model: "},
           {{"info", "text.txt"}, 1, "text.txt"}}) {
    const ProcessResult result = tokenizer(folder, m.args);
    CHECK_MESSAGE(result.code == m.code, result.err);
    CHECK_MESSAGE(result.err.find(m.message) != std::string::npos, result.err);
  }
  done(folder, {"train", "--kind", "bytes", "--vocab", "300", "--out", "t", "text.txt"});
  CHECK(tokenizer(folder, {"decode", "t", "ids"}).err == "rmoe: tokenizer: \"x\" is not a token id\n");
}

TEST_CASE("rmoe tokenizer: an interrupt ends training and leaves nothing behind") {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 400'000; ++i) text += concat(i * 7919LL % 1'000'003, i % 9 ? " " : "\n");
  folder.write("text.txt", text);
  Args kinds{"bytes"};
  if (can_train_sentencepiece()) kinds.push_back("sentencepiece");
  for (const std::string& kind : kinds) {
    Process process(folder.path(),
                    {"tokenizer", "train", "--kind", kind, "--vocab", "60000", "--out", "t", "text.txt"});
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    process.signal(SIGINT);
    CHECK(process.wait().code == 130);
    CHECK_FALSE(std::filesystem::exists(folder / "t"));
  }
}

}  // namespace rmoe::test
