#include "data/corpus.hpp"

#include "data/sha256.hpp"
#include "data/stats.hpp"
#include "tests/folder.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <fstream>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

std::string lines(int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += "line " + std::to_string(i) + "\n";
  return text;
}

}  // namespace

TEST_CASE("corpus: sha256") {
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const TestFolder folder;
  const std::string big(3'000'001, 'x');  // more than one block
  CHECK(sha256_file(folder.write("big", big)) == sha256(big));
  CHECK(error_of([&] { sha256_file(folder.path() / "none"); }).ends_with("none: No such file or directory"));
}

TEST_CASE("corpus: enwik8's shares are 90M / 5M / 5M") {
  const auto [train, valid, test] = split_sizes(100'000'000, 0.05, 0.05);
  CHECK(train == 90'000'000);
  CHECK(valid == 5'000'000);
  CHECK(test == 5'000'000);
}

TEST_CASE("corpus: one file is cut by shares, in order, and every split ends with <eos>") {
  const TestFolder folder;
  const Corpus c = load_corpus(
      {.path = folder.write("text", "0123456\n8901234567\n9"), .valid_share = 0.25, .test_share = 0.05});
  CHECK(c.bytes == 20);
  CHECK(c.tokenizer->decode(c.train.to_vector()) == "0123456\n890123\n");
  CHECK(c.tokenizer->decode(c.valid.to_vector()) == "4567\n");  // ends in a newline already
  CHECK(c.tokenizer->decode(c.test.to_vector()) == "9\n");
  CHECK(c.train.to_vector().back() == c.valid.to_vector().back());
  CHECK(c.tokenizer->size() == 11);
}

TEST_CASE("corpus: bytes with <eos> are what the published preparation of enwik8 gives word readers") {
  const TestFolder folder;
  const std::string text = "<a>\n caf\xC3\xA9\r\n\n\xFF tail";
  std::string numbers;  // each byte as a decimal number, newline as newline
  for (const unsigned char c : text) numbers += c == '\n' ? "\n" : std::to_string(int(c)) + " ";
  for (const char* split : {"train", "valid", "test"}) {
    folder.write(std::string("raw/") + split + ".txt", text);
    folder.write(std::string("prepared/") + split + ".txt", numbers);
  }
  const Corpus raw = load_corpus({.path = (folder.path() / "raw").string()});
  const Corpus prepared = load_corpus({.path = (folder.path() / "prepared").string(), .tokens = "word"});
  CHECK(raw.train.to_vector() == prepared.train.to_vector());
  CHECK(raw.test.to_vector() == prepared.test.to_vector());
  CHECK(raw.tokenizer->size() == prepared.tokenizer->size());
  CHECK(raw.fingerprint != prepared.fingerprint);
}

TEST_CASE("corpus: words are cut at line ends") {
  const TestFolder folder;
  const Corpus c = load_corpus(
      {.path = folder.write("text", lines(20)), .tokens = "word", .valid_share = 0.25, .test_share = 0.2});
  CHECK(c.tokenizer->decode(c.train.to_vector()) + c.tokenizer->decode(c.valid.to_vector()) +
            c.tokenizer->decode(c.test.to_vector()) ==
        lines(20));
  CHECK(c.tokenizer->size() == 22);  // "line", twenty numbers, <eos>
  const Corpus one_line = load_corpus({.path = folder.write("one", "a b c d e f g h"),
                                       .tokens = "word",
                                       .valid_share = 0.3,
                                       .test_share = 0.3});
  CHECK(one_line.tokenizer->decode(one_line.train.to_vector()) == "a b c\n");
  CHECK(one_line.tokenizer->decode(one_line.valid.to_vector()) == "d e\n");
  CHECK(one_line.tokenizer->decode(one_line.test.to_vector()) == "f g h\n");
}

TEST_CASE("corpus: words are the same whichever way lines end") {
  const TestFolder folder;
  const auto with = [](const std::string& text, const std::string& end) {
    std::string changed;
    for (const char c : text) changed += c == '\n' ? end : std::string(1, c);
    return changed;
  };
  const std::string text = " = a = \n\n b <unk> c \n d";  // the last line is not ended
  const auto read = [&](const std::string& name, const std::string& end) {
    for (const char* split : {"train", "valid", "test"})
      folder.write(name + "/wiki." + split + ".tokens", with(text, end));
    return load_corpus({.path = (folder / name).string(), .tokens = "word"});
  };
  const Corpus unix = read("unix", "\n"), windows = read("windows", "\r\n"), mac = read("mac", "\r");
  CHECK(unix.train.size() == 11);  // 7 words, 4 lines
  CHECK(windows.fingerprint == unix.fingerprint);
  CHECK(mac.fingerprint == unix.fingerprint);
  const DataConfig bytes{.path = (folder / "windows").string()};
  CHECK(load_corpus(bytes).tokenizer->size() ==
        1 + load_corpus({.path = (folder / "unix").string()}).tokenizer->size());
}

TEST_CASE("corpus: one file of words is cut at line ends of every kind, and none is cut in two") {
  const TestFolder folder;
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    std::string text;
    for (int i = 0; i < 40; ++i) text += "a b" + end;
    for (double share = 0.2; share < 0.4; share += 0.003) {
      const Corpus c = load_corpus(
          {.path = folder.write("text", text), .tokens = "word", .valid_share = share, .test_share = 0.3});
      for (const auto* split : {&c.train, &c.valid, &c.test}) CHECK(split->size() % 3 == 0);
      CHECK(c.train.size() + c.valid.size() + c.test.size() == 120);
    }
  }
}

TEST_CASE("corpus: a folder with train, valid and test files keeps its split") {
  const TestFolder folder;
  folder.write("wiki.train.tokens", "a b\n");
  folder.write("wiki.valid.tokens", "b c\n");
  folder.write("wiki.test.tokens", "d a\n");
  const Corpus c = load_corpus({.path = folder.path().string(), .tokens = "word"});
  CHECK(c.train.to_vector() == std::vector<int32_t>{0, 1, 2});
  CHECK(c.valid.to_vector() == std::vector<int32_t>{1, 3, 2});
  CHECK(c.test.to_vector() == std::vector<int32_t>{4, 0, 2});
}

TEST_CASE("corpus: any other folder is its files, sorted and joined") {
  const TestFolder folder;
  folder.write("b/2.txt", "two");
  folder.write("a.txt", "one\n");
  folder.write("c.txt", "three\n");
  folder.write(".hidden/x", "secret");
  const Corpus c = load_corpus({.path = folder.path().string(), .valid_share = 0, .test_share = 0});
  CHECK(c.tokenizer->decode(c.train.to_vector()) == "one\ntwo\nthree\n");
  CHECK(c.valid.empty());
}

TEST_CASE("corpus: the fingerprint tells other data apart") {
  const TestFolder folder;
  const std::string a = folder.write("a", lines(50)), b = folder.write("b", lines(51));
  CHECK(load_corpus({.path = a}).fingerprint == load_corpus({.path = a}).fingerprint);
  CHECK(load_corpus({.path = a}).fingerprint != load_corpus({.path = b}).fingerprint);
  CHECK(load_corpus({.path = a}).fingerprint != load_corpus({.path = a, .valid_share = 0.1}).fingerprint);
  CHECK(load_corpus({.path = a}).fingerprint.size() == 64);
}

TEST_CASE("corpus: errors say what is wrong with which file") {
  const TestFolder folder;
  const std::string root = folder.path().string();
  const auto error = [&](DataConfig config) { return error_of([&] { load_corpus(config); }); };
  CHECK(error({}) == "data.path is not set: name a file or folder of text");
  CHECK(error({.path = root + "/none"}) ==
        "data: no file or folder " + root +
            "/none: \"rmoe data get kjv\" fetches a small text, \"rmoe data get --help\" lists others");
  CHECK(error({.path = folder.write("empty", "")}) == "data: " + root + "/empty is empty");
  CHECK(error({.path = folder.write("zero", std::string("ab\0c", 4))}) ==
        "data: " + root + "/zero is not text: byte 2 is 0");
  CHECK(error({.path = folder.write("tiny", "ab\ncd\n")}) ==
        "data: " + root +
            "/tiny: the valid split has 0 tokens, at least 2 are needed: use more text or a larger share");
  CHECK(error({.path = folder.write("latin1", "caf\xE9 noir\n"), .tokens = "word"}) ==
        "data: " + root +
            "/latin1 (train split): text is not UTF-8 at line 1, byte 1: words need UTF-8, data.tokens = "
            "\"byte\" takes "
            "anything");
  CHECK(error({.path = root + "/tiny", .valid_share = 0.6, .test_share = 0.4})
            .starts_with("data.valid_share 0.6"));
  fs::create_directory(folder.path() / "nothing");
  CHECK(error({.path = root + "/nothing"}) == "data: folder " + root + "/nothing holds no files");
  folder.write("split/train.txt", "text\n");
  folder.write("split/test.txt", "text\n");
  CHECK(error({.path = root + "/split"}) ==
        "data: " + root + "/split is split into files but has no valid.txt (or wiki.valid.tokens)");
  CHECK(error({.path = "/dev/null"}) == "data: /dev/null is neither a file nor a folder");
}

TEST_CASE("corpus: a split that is missing, empty, cut short or a folder is named") {
  const TestFolder folder;
  const std::string root = folder.path().string();
  const auto make = [&](const std::string& name) {
    for (const char* split : {"train", "valid", "test"})
      folder.write(name + "/wiki." + split + ".tokens", " one two \n");
    return folder / name;
  };
  const auto error = [&](const fs::path& path) {
    return error_of([&] { load_corpus({.path = path.string(), .tokens = "word"}); });
  };
  for (const std::string split : {"train", "valid", "test"}) {
    CAPTURE(split);
    const fs::path whole = make("missing-" + split);
    fs::remove(whole / ("wiki." + split + ".tokens"));
    CHECK(error(whole) == "data: " + whole.string() + " is split into files but has no " + split +
                              ".txt (or wiki." + split + ".tokens)");
  }
  const fs::path empty = make("empty"), dir = make("dir"), cut = make("cut");
  folder.write("empty/wiki.test.tokens", "");
  CHECK(error(empty) == "data: " + root + "/empty/wiki.test.tokens is empty");
  fs::remove(dir / "wiki.valid.tokens");
  fs::create_directory(dir / "wiki.valid.tokens");
  CHECK(error(dir) == "data: " + root + "/dir/wiki.valid.tokens is a folder, wanted a file");
  folder.write("cut/wiki.valid.tokens", " one caf\xC3");
  CHECK(error(cut) == "data: " + root +
                          "/cut (valid split): text is not UTF-8 at line 1, byte 6: words need UTF-8, "
                          "data.tokens = \"byte\" takes anything");
  make("above/wikitext");
  CHECK(error(folder / "above") ==
        "data: " + root +
            "/above is not a text but the folder above one that is split into files: "
            "name " +
            root + "/above/wikitext");
}

TEST_CASE("corpus: statistics") {
  const TestFolder folder;
  const CorpusStats s = stats_of(
      load_corpus(
          {.path = folder.write("text", "aaaabb\n\n"), .newline = "eos", .valid_share = 0, .test_share = 0}),
      2);
  CHECK(s.bytes == 8);
  CHECK(s.train_tokens == 8);
  CHECK(s.vocabulary == 3);
  CHECK(s.unigram_bits == doctest::Approx(1.5));
  REQUIRE(s.frequent.size() == 2);
  CHECK(s.frequent[0] == std::pair<std::string, int64_t>("'a'", 4));
  CHECK(s.frequent[1] == std::pair<std::string, int64_t>("'b'", 2));  // a tie: the one seen first
}

TEST_CASE("corpus: what claims to be WikiText-103 is held against the published counts") {
  const CorpusStats published{
      .train_tokens = 103'227'021, .valid_tokens = 217'646, .test_tokens = 245'569, .vocabulary = 267'735};
  const DataConfig named{.path = "corpora/WikiText-103/x", .tokens = "word"},
      other{.path = "x", .tokens = "word"};
  CHECK(compare_with_published(published, named) == "WikiText-103: all counts as published");
  CHECK(compare_with_published(published, other) == "WikiText-103: all counts as published");
  CorpusStats cut = published;
  cut.train_tokens -= 7;
  const std::string difference =
      "WikiText-103: this copy is NOT the published one: train tokens 103227014 (published 103227021); it is "
      "damaged or prepared in another way, \"rmoe data get wikitext-103\" fetches the original";
  CHECK(compare_with_published(cut, named) == difference);
  CHECK(compare_with_published(cut, other) == difference);  // its valid and test splits give it away
  const CorpusStats nothing_like_it{.train_tokens = 9, .valid_tokens = 2, .test_tokens = 3, .vocabulary = 4};
  CHECK(compare_with_published(nothing_like_it, other).empty());
  CHECK(compare_with_published(nothing_like_it, named)
            .starts_with(
                "WikiText-103: this copy is NOT the published one: train tokens 9 (published "
                "103227021), valid tokens 2 (published 217646), test tokens 3 (published 245569), words 4"));
  CHECK(compare_with_published(published, {.path = "corpora/wikitext-103"}) ==
        "WikiText-103: its published counts are of words: add --tokens word");
}

}  // namespace rmoe::test
