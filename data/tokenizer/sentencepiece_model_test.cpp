#include "data/tokenizer/sentencepiece_model.hpp"

#include "data/tokenizer/spelling.hpp"
#include "data/tokenizer/test_tokenizers.hpp"
#include "tests/fuzz.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += char(value | 0x80);
  return bytes + char(value);
}

std::string number(int field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(int field, const std::string& content) {
  return varint(field << 3 | 2) + varint(content.size()) + content;
}

struct Piece {
  std::string text;
  float score = 0;
  int type = 1;
};

std::string piece(const Piece& p) {
  return bytes(1, bytes(1, p.text) + varint(2 << 3 | 5) +
                      std::string(reinterpret_cast<const char*>(&p.score), 4) + number(3, p.type));
}

const std::string kTrainer = bytes(2, number(3, 2) + number(35, 1));
const std::string kNormalizer = bytes(3, number(3, 0) + number(4, 0));

/// <unk>, the bytes, and these.
std::string model(const std::vector<Piece>& pieces, const std::string& specs = kTrainer + kNormalizer) {
  std::string file = piece({"<unk>", 0, 2});
  for (int byte = 0; byte < 256; ++byte) file += piece({byte_piece(uint8_t(byte)), 0, 6});
  for (const Piece& p : pieces) file += piece(p);
  return file + specs;
}

std::string refusal(const std::string& file) {
  return error_of([&] { read_sentencepiece_model(file); });
}

}  // namespace

TEST_CASE("tokenizer.model: scores order the merges, and characters that are no piece still merge") {
  const auto pieces = [](const std::vector<Piece>& of, const char* text) {
    return pieces_of(BpeTokenizer(read_sentencepiece_model(model(of))), text);
  };
  using Pieces = std::vector<std::string>;
  CHECK(pieces({{"ab", -1}, {"bc", -2}, {"a"}, {"b"}, {"c"}}, "abc") == Pieces{"ab", "c"});
  CHECK(pieces({{"ab", -2}, {"bc", -1}, {"a"}, {"b"}, {"c"}}, "abc") == Pieces{"a", "bc"});
  CHECK(pieces({{"ab", -1}}, "ab\u00E9ba") == Pieces{"ab", "\xC3", "\xA9", "b", "a"});
  CHECK(pieces({{"\u2581a", -1}, {"\u2581\u2581", -2}}, "   a") == Pieces{"  ", " a"});
  CHECK(pieces({{"\u2581"}}, " \u2581") == Pieces{" ", "\xE2", "\x96", "\x81"});
  CHECK(pieces({{"xy", 0, 4}, {"ax", -1}, {"a"}, {"x"}}, "axy") == Pieces{"a", "xy"});
  CHECK(pieces({{"a b", -1}, {"a"}, {"b"}}, "a b") == Pieces{"a", " ", "b"});
  CHECK(pieces({{"a\u2581b", -2}, {"a\u2581", -1}, {"a"}, {"b"}, {"\u2581"}}, "a b") == Pieces{"a b"});
}

TEST_CASE("tokenizer.model: what is not supported or wrong is named") {
  const std::string unigram = bytes(2, number(3, 1) + number(35, 1)), no_bytes = bytes(2, number(3, 2));
  CHECK(refusal(model({}, unigram + kNormalizer)) ==
        "tokenizer.model: only models of type BPE are read, this one has type 1 (1 is unigram)");
  CHECK(refusal(model({}, no_bytes + kNormalizer)).find("--byte_fallback") != std::string::npos);
  CHECK(refusal(model({}, kTrainer)).find("--remove_extra_whitespaces=false") != std::string::npos);
  CHECK(refusal(model({}, kTrainer + bytes(3, bytes(2, "map") + number(4, 0)))).find("identity") !=
        std::string::npos);
  CHECK(refusal(kTrainer + kNormalizer) == "tokenizer.model: it holds no pieces");
  CHECK(refusal(model({{"a"}, {"a"}})) == "tokenizer.model: piece \"a\" is there twice");
  CHECK(refusal(model({{"<0x41>", 0, 6}})) == "tokenizer.model: byte 65 has 2 pieces, wanted one");
  CHECK(refusal(model({{"<0x4>", 0, 6}})).find("is not spelled like <0x0A>") != std::string::npos);
  CHECK(refusal(model({{"\xFF"}})) == "tokenizer.model: piece 257 is empty or not UTF-8");
  CHECK(refusal(model({{"a", 0, 5}})) == "tokenizer.model: piece 257 has type 5, which is not known here");
  CHECK(refusal(model({{std::string(600, 'a')}})) == "tokenizer.model: piece 257 is longer than 512 bytes");
}

TEST_CASE("tokenizer.model: a file that is cut off is refused") {
  const std::string whole = golden_bytes("plain.model");
  CHECK_NOTHROW(make_tokenizer("tokenizer.model", whole));
  for (const size_t size : {size_t{0}, size_t{1}, size_t{5000}, whole.size() - 1})
    CHECK(refusal(whole.substr(0, size)).starts_with("tokenizer.model: "));
  CHECK(refusal("not a model at all").starts_with("tokenizer.model: "));
}

TEST_CASE("tokenizer.model: damaged files are refused or understood, never more") {
  const std::string text = broken_text();
  const FuzzCounts counts =
      fuzz({golden_bytes("plain.model"), golden_bytes("dummy_prefix.model"), model({{"ab", -1}})}, 800,
           [&](const std::string& file) {
             const TokenizerPtr tokenizer = make_tokenizer("tokenizer.model", file);
             tokenizer->decode(tokenizer->encode(text, Special::parse));
           });
  CHECK(counts.refused > 100);
  CHECK(counts.accepted > 0);
}

}  // namespace rmoe::test
