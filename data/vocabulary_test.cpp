#include "data/vocabulary.hpp"

#include "data/words.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace rmoe::test {
namespace {

using Ids = std::vector<int32_t>;

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  split_words(
      text, [&](size_t begin, size_t end) { words.emplace_back(text.substr(begin, end - begin)); },
      [&](size_t) { words.emplace_back("<eos>"); });
  return words;
}

/// "a", the character, "b".
std::string between(uint32_t code) {
  std::string text = "a";
  if (code < 0x80) {
    text += char(code);
  } else {
    if (code >= 0x800) text += char(0xE0 | code >> 12);
    text += char(code < 0x800 ? 0xC0 | code >> 6 : 0x80 | (code >> 6 & 63));
    text += char(0x80 | (code & 63));
  }
  return text += 'b';
}

}  // namespace

TEST_CASE("vocabulary: bytes count up in order of first appearance and a newline is <eos>") {
  Vocabulary v;
  CHECK(v.learn("ab\na\n") == Ids{0, 1, 2, 0, 2});
  CHECK(v.learn("ac") == Ids{0, 3, 2});  // the unfinished line gets its <eos>
  CHECK(v.learn("") == Ids{});
  CHECK(v.size() == 4);
  CHECK(v.encode("ca") == Ids{3, 0});  // a prompt is not closed
  CHECK(v.decode(v.encode("a\n\nc")) == "a\n\nc");
  CHECK(v.name(0) == "'a'");
  CHECK(v.name(2) == "<eos>");
}

TEST_CASE("vocabulary: the other newline rules") {
  Vocabulary byte("byte", "byte"), drop("byte", "drop");
  CHECK(byte.learn("a\nb") == Ids{0, 1, 2});
  CHECK(byte.name(1) == "0x0A");
  CHECK(byte.decode(Ids{0, 1, 2}) == "a\nb");
  CHECK(drop.learn("a\nb") == Ids{0, 1});
}

TEST_CASE("vocabulary: every byte survives the round trip") {
  std::string all;
  for (int i = 0; i < 256; ++i) all += char(i);
  for (const char* newline : {"eos", "byte"}) {
    Vocabulary v("byte", newline);
    v.learn(all + "\n");
    CHECK(v.size() == 256);
    CHECK(v.decode(v.encode(all)) == all);
    const Vocabulary copy = Vocabulary::parse(v.file_bytes());
    CHECK(copy.encode(all) == v.encode(all));
    CHECK(copy.file_bytes() == v.file_bytes());
  }
}

TEST_CASE("vocabulary: words, with <eos> at each line end") {
  Vocabulary v("word");
  CHECK(v.learn("the cat\n \nthe  end") == Ids{0, 1, 2, 2, 0, 3, 2});
  CHECK(v.size() == 4);
  CHECK(v.decode(Ids{0, 1, 2, 2, 0, 3}) == "the cat\n\nthe end");
  CHECK(v.encode("end the\n") == Ids{3, 0, 2});
  CHECK(Vocabulary::parse(v.file_bytes()).encode("the cat") == Ids{0, 1});
}

TEST_CASE("vocabulary: words split where Python's str.split() splits") {
  for (const uint32_t space : {0x09,   0x0B,   0x0C,   0x1C,   0x1D,   0x1E,   0x1F,   0x20,   0x85,
                               0xA0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
                               0x2007, 0x2008, 0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}) {
    CAPTURE(space);
    CHECK(words_of(between(space)) == std::vector<std::string>{"a", "b"});
  }
  for (const uint32_t other :
       {0x08, 0x0E, 0x1B, 0x21, 0x7F, 0x84, 0xA1, 0x180E, 0x200B, 0x202E, 0x2060, 0x3001}) {
    CAPTURE(other);
    CHECK(words_of(between(other)).size() == 1);
  }
  CHECK(words_of("a\r\nb\rc\n\r") ==
        std::vector<std::string>{"a", "<eos>", "b", "<eos>", "c", "<eos>", "<eos>"});
  CHECK(words_of("\xE2\x80") == std::vector<std::string>{"\xE2\x80"});  // cut off inside a character
}

TEST_CASE("vocabulary: is_utf8") {
  CHECK(is_utf8("plain, \xC3\xA9, \xE2\x82\xAC, \xF0\x9F\x98\x80"));
  for (const char* bad :
       {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5"}) {
    CHECK_FALSE(is_utf8(bad));
  }
}

TEST_CASE("vocabulary: errors name the symbol and the place") {
  Vocabulary bytes, words("word");
  bytes.learn("ab\n");
  words.learn("ab\n");
  CHECK(error_of([&] { bytes.encode("a\nb\xC3"); }) ==
        "vocabulary: unknown byte 0xC3 at line 2, byte 2: the training text has none, its 3 symbols are all "
        "the model "
        "can read");
  CHECK(error_of([&] { words.encode("ab abc"); }) ==
        "vocabulary: unknown word \"abc\" at line 1, byte 4: the training text has none, its 2 symbols are "
        "all the "
        "model can read");
  CHECK(error_of([&] { words.learn("x\ny \xFF"); }) ==
        "text is not UTF-8 at line 2, byte 3: words need UTF-8, data.tokens = \"byte\" takes anything");
  CHECK(error_of([&] { bytes.decode(Ids{7}); }) == "vocabulary: token 7 is not one of 3");
  CHECK(error_of([&] { Vocabulary("char"); }) == "data.tokens is \"char\": wanted byte, word");
  CHECK(error_of([&] { Vocabulary("byte", "keep"); }) == "data.newline is \"keep\": wanted eos, byte, drop");
  CHECK(error_of([&] {
          Vocabulary::parse(R"({"tokens": "byte", "newline": "eos", "symbols": [97, 97]})");
        }) == "vocabulary: symbol 1 is there twice");
  CHECK(
      error_of([&] { Vocabulary::parse(R"({"tokens": "byte"})"); }).starts_with("vocabulary: not the JSON"));
}

TEST_CASE("vocabulary: as a tokenizer it is told by its file name and streams piece by piece") {
  Vocabulary bytes, words("word");
  bytes.learn("ab\n");
  words.learn("the cat\n");
  for (const Vocabulary* v : {&bytes, &words}) {
    const TokenizerPtr copy = make_tokenizer(v->file_name(), v->file_bytes());
    CHECK(copy->file_bytes() == v->file_bytes());
    CHECK(copy->eos() == 2);
    CHECK(copy->is_byte_level() == v->is_byte_level());
  }
  CHECK(bytes.piece(1) + bytes.piece(2) == "b\n");
  CHECK(words.decode(Ids{0}) + words.piece(1) == words.decode(Ids{0, 1}));
  CHECK(error_of([] {
          make_tokenizer("merges.txt", "");
        }).starts_with("tokenizer: merges.txt is not a kind of file that is known: wanted vocabulary.json"));
  CHECK(error_of([] { load_tokenizer("no/such/place"); }) == "tokenizer: no file or folder no/such/place");
}

}  // namespace rmoe::test
