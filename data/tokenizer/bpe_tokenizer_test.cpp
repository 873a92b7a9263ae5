#include "data/tokenizer/bpe_tokenizer.hpp"

#include "data/tokenizer/test_tokenizers.hpp"
#include "data/tokenizer/tokenizer_json.hpp"
#include "tests/op_case.hpp"

#include <chrono>
#include <doctest/doctest.h>
#include <sstream>

namespace rmoe::test {
namespace {

using nlohmann::json;

json golden_ids() { return json::parse(golden_bytes("ids.json")); }

/// "abc" = ab + c or a + bc, by rank.
BpeModel letters() {
  BpeModel model;
  model.pieces = {"a", "b", "c", "ab", "bc", "abc", "aa", "</s>"};
  model.names = model.pieces;
  model.kinds.assign(7, PieceKind::normal);
  model.kinds.push_back(PieceKind::special);
  model.merges = {{1, 2, {0, 4}}, {0, 1, {1, 3}}, {0, 4, {2, 5}}, {0, 0, {3, 6}}};
  model.added = {{7, "</s>"}};
  return model;
}

}  // namespace

TEST_CASE("tokenizer: byte-level ids are those of Hugging Face's tokenizers") {
  const std::string text = golden_bytes("nasty.txt");
  for (const json& wanted : golden_ids().at("byte_level")) {
    CAPTURE(wanted.at("name").get<std::string>());
    json file = json::parse(golden_bytes("byte_level.json"));
    file["pre_tokenizer"] = wanted.at("pre_tokenizer");
    file["added_tokens"] = wanted.at("added_tokens");
    const TokenizerPtr tokenizer = make_tokenizer("tokenizer.json", file.dump());
    CHECK(tokenizer->encode(text, Special::parse) == wanted.at("parsed").get<Ids>());
    CHECK(tokenizer->encode(text, Special::as_text) == wanted.at("as_text").get<Ids>());
  }
}

TEST_CASE("tokenizer: SentencePiece ids are those of spm_encode") {
  std::string text = golden_bytes("nasty.txt");
  for (size_t at; (at = text.find("\u2581")) != text.npos;) text.erase(at, 3);
  for (const auto& [name, wanted] : golden_ids().at("sentencepiece").items()) {
    CAPTURE(name);
    const TokenizerPtr tokenizer = load_tokenizer(tokenizer_golden(name + ".model"));
    std::istringstream lines(text);
    size_t i = 0;
    for (std::string line; std::getline(lines, line); ++i)
      CHECK(tokenizer->encode(line) == wanted.at(i).get<Ids>());
    CHECK(i == wanted.size());
  }
}

TEST_CASE("tokenizer: every sequence of bytes comes back") {
  const std::string text = broken_text();
  for (const char* name : {"byte_level.json", "plain.model"}) {
    const TokenizerPtr tokenizer = make_tokenizer(
        std::string(name).ends_with("json") ? "tokenizer.json" : "tokenizer.model", golden_bytes(name));
    for (const std::string& part : {text, std::string(" a"), std::string("\u2581 \u2581"), std::string()}) {
      CHECK(tokenizer->decode(tokenizer->encode(part)) == part);
      CHECK(tokenizer->decode(tokenizer->encode(part, Special::parse)) == part);
    }
    std::string streamed;
    for (const int32_t id : tokenizer->encode(text)) streamed += tokenizer->piece(id);
    CHECK(streamed == text);
  }
}

TEST_CASE("tokenizer: a dummy prefix comes and goes") {
  const TokenizerPtr tokenizer = load_tokenizer(tokenizer_golden("dummy_prefix.model"));
  CHECK(tokenizer->encode("the") == tokenizer->encode("the"));
  CHECK(tokenizer->name(tokenizer->encode("the")[0]) == "\u2581the");
  CHECK(tokenizer->decode(tokenizer->encode("the <u>\u00E9 \U0001F600")) == "the <u>\u00E9 \U0001F600");
  CHECK(tokenizer->decode(tokenizer->encode(" the")) == " the");
  CHECK(tokenizer->decode(Ids{}) == "");
}

TEST_CASE("tokenizer: the lowest rank merges first, the leftmost of equals, in linear memory") {
  const BpeTokenizer tokenizer(letters());
  CHECK(tokenizer.encode("abc") == Ids{5});
  CHECK(tokenizer.encode("abab") == Ids{3, 3});
  CHECK(tokenizer.encode("aaa") == Ids{6, 0});
  CHECK(tokenizer.encode("aabc") == Ids{0, 5});
  const std::string many(300'000, 'a');  // one word: what takes quadratic time takes minutes here
  const auto begin = std::chrono::steady_clock::now();
  CHECK(tokenizer.encode(many) == Ids(many.size() / 2, 6));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
}

TEST_CASE("tokenizer: special tokens are found only where asked for") {
  const BpeTokenizer tokenizer(letters());
  CHECK(tokenizer.encode("a</s>b", Special::parse) == Ids{0, 7, 1});
  CHECK(error_of([&] { tokenizer.encode("a</s>b"); }) == "tokenizer: it has no token for byte 0x3C");
  CHECK(tokenizer.decode(Ids{0, 7, 1}) == "a</s>b");
}

TEST_CASE("tokenizer: the longest of several added tokens wins, and takes white space if it may") {
  const AddedTokens tokens({{.id = 0, .content = "<a>"},
                            {.id = 1, .content = "<a>b"},
                            {.id = 2, .content = "<c>", .lstrip = true, .rstrip = true}});
  std::string seen;
  const auto split = [&](std::string_view text) {
    seen.clear();
    tokens.split(
        text, [&](std::string_view part) { seen += concat("[", part, "]"); },
        [&](int32_t id) { seen += concat(id); });
    return seen;
  };
  CHECK(split("x<a>b<a>c") == "[x]10[c]");
  CHECK(split("x \n<c>\t<c> y<") == "[x]22[y<]");
  CHECK(split("<a") == "[<a]");
  CHECK(split("") == "");
}

TEST_CASE("tokenizer: a token out of range is an error") {
  const BpeTokenizer tokenizer(letters());
  for (const int32_t token : {-1, 8}) {
    const std::string wanted = concat("tokenizer: token ", token, " is not one of 8");
    CHECK(error_of([&] { tokenizer.decode(Ids{token}); }) == wanted);
    CHECK(error_of([&] { tokenizer.piece(token); }) == wanted);
    CHECK(error_of([&] { tokenizer.name(token); }) == wanted);
  }
}

TEST_CASE("tokenizer: special tokens of the golden files") {
  const TokenizerPtr bytes = make_tokenizer("tokenizer.json", golden_bytes("byte_level.json"));
  const TokenizerPtr pieces = load_tokenizer(tokenizer_golden("plain.model"));
  CHECK(bytes->eos() == 0);
  CHECK_FALSE(bytes->bos());
  CHECK(bytes->name(0) == "<|endoftext|>");
  CHECK(pieces->bos() == 1);
  CHECK(pieces->eos() == 2);
  CHECK(pieces->pad() == 3);
  CHECK(pieces->encode("<s>a</s>", Special::parse).front() == 1);
  CHECK_FALSE(pieces->is_byte_level());
}

}  // namespace rmoe::test
