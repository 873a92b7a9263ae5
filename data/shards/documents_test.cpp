#include "data/shards/documents.hpp"

#include "data/test_archive.hpp"
#include "tests/folder.hpp"
#include "tests/fuzz.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

std::vector<Document> read(const std::vector<std::string>& paths, Documents kind, Position start = {}) {
  const auto inputs = find_inputs(paths);
  DocumentReader reader(inputs, kind, start);
  std::vector<Document> all;
  for (Document d; reader.next(d);) all.push_back(d);
  return all;
}

std::vector<std::string> texts(const std::vector<std::string>& paths, Documents kind, Position start = {}) {
  std::vector<std::string> all;
  for (const Document& d : read(paths, kind, start)) all.push_back(d.text);
  return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("documents: a file, a line, or what blank lines part") {
  const TestFolder folder;
  const std::string text = "one\ntwo\r\n\n\r\n\nthree\n four\n\nfive";
  const std::string path = folder.write("a.txt", text);
  CHECK(texts({path}, Documents::file) == Texts{text});
  CHECK(texts({path}, Documents::line) == Texts{"one", "two", "three", " four", "five"});
  CHECK(texts({path}, Documents::blank_line) == Texts{"one\ntwo\r\n", "three\n four\n", "five"});
  CHECK(texts({folder.write("empty.txt", "")}, Documents::file).empty());
  CHECK(texts({folder.write("blank.txt", "\n\r\n\n")}, Documents::blank_line).empty());
}

TEST_CASE("documents: JSON lines are a document each, whatever is chosen") {
  const TestFolder folder;
  const std::string path =
      folder.write("a.jsonl", "{\"text\":\"a\"}\n\n{\"text\":\"b\"}\r\n{\"text\":\"c\"}");
  for (const Documents kind : {Documents::file, Documents::line, Documents::blank_line}) {
    const auto all = read({path}, kind);
    REQUIRE(all.size() == 3);
    CHECK(all[1].text == "{\"text\":\"b\"}");
    CHECK(all[1].json);
    CHECK(all[1].begin == Position{0, 13});
  }
}

TEST_CASE("documents: folders are read in the order of their paths, hidden files left out") {
  const TestFolder folder;
  folder.write("in/b.txt", "2");
  folder.write("in/a/z.txt", "1");
  folder.write("in/.hidden", "no");
  folder.write("in/.git/c.txt", "no");
  folder.write("in/c.txt", "3");
  CHECK(texts({(folder / "in").string(), (folder / "in/b.txt").string()}, Documents::file) ==
        Texts{"1", "2", "3", "2"});
}

TEST_CASE("documents: reading goes on from the end of any document, through compression too") {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 3000; ++i)
    text += concat("line ", i, std::string(size_t(i % 700), 'x'), i % 5 ? "\n" : "\n\n");
  const std::string plain = folder.write("in/a.txt", text);
  write_archive(folder / "in/b.txt.gz", {{"b", text}}, archive_write_set_format_raw,
                archive_write_add_filter_gzip);
  write_archive(folder / "in/c.txt.zst", {{"c", text}}, archive_write_set_format_raw,
                archive_write_add_filter_zstd);
  const auto all = read({(folder / "in").string()}, Documents::blank_line);
  REQUIRE(all.size() == 3 * 601);  // line 0 is one by itself
  for (size_t i = 0; i < 601; ++i) {
    CHECK(all[i + 601].text == all[i].text);
    CHECK(all[i + 2 * 601].text == all[i].text);
  }
  for (const size_t i :
       {size_t{0}, size_t{1}, size_t{600}, size_t{601}, size_t{777}, size_t{1500}, all.size() - 1}) {
    const auto rest = texts({(folder / "in").string()}, Documents::blank_line, all[i].end);
    REQUIRE(rest.size() == all.size() - 1 - i);
    for (size_t k = 0; k < rest.size(); ++k) CHECK(rest[k] == all[i + 1 + k].text);
  }
}

TEST_CASE("documents: what cannot be read is named") {
  const TestFolder folder;
  CHECK_THROWS_WITH_AS(find_inputs({"/no/such"}), "data: no file or folder /no/such", Error);
  CHECK_THROWS_WITH_AS(find_inputs({"/dev/null"}), "data: /dev/null is neither a file nor a folder", Error);
  const std::string false_gz = folder.write("a.txt.gz", "plain text");
  CHECK(error_of([&] { texts({false_gz}, Documents::file); }) ==
        "archive: " + false_gz + " is not compressed as its name says");
  write_archive(folder / "b.gz", {{"b", std::string(100'000, 'b') + "end"}}, archive_write_set_format_raw,
                archive_write_add_filter_gzip);
  std::filesystem::resize_file(folder / "b.gz", 60);
  const std::string error = error_of([&] { texts({(folder / "b.gz").string()}, Documents::file); });
  CHECK_MESSAGE(error.starts_with("archive: " + (folder / "b.gz").string() + ": "), error);
}

TEST_CASE("documents: the text of a JSON line") {
  CHECK(text_of_json(R"({"id":1,"text":"a\n\u00e9"})", "text", "x") == "a\n\xc3\xa9");
  CHECK(text_of_json(R"({"id":1,"body":"b"})", "body", "x") == "b");
  CHECK_THROWS_WITH_AS(text_of_json(R"({"id":1})", "text", "x"),
                       "x: the JSON object has no \"text\": name another with --field", Error);
  CHECK_THROWS_WITH_AS(text_of_json(R"({"text":1})", "text", "x"), "x: \"text\" is number, wanted a string",
                       Error);
  CHECK_THROWS_WITH_AS(text_of_json("[1]", "text", "x"), "x: wanted a JSON object, got array", Error);
  CHECK_THROWS_WITH_AS(text_of_json("{\"text\":\"a", "text", "x"), "x: not JSON at byte 11 of its line",
                       Error);
  CHECK_THROWS_AS(text_of_json("{\"text\":\"\xff\"}", "text", "x"), Error);
  CHECK_THROWS_WITH_AS(text_of_json(R"({"n":1e999,"text":""})", "text", "x"),
                       "x: its JSON has a number that is too large", Error);
}

TEST_CASE("documents: damaged JSON lines are refused or read") {
  const auto counts = fuzz({R"({"text":"hello \"you\" \u00e9"})", R"({"id":[1,{"a":null}],"text":""})"},
                           20'000, [](const std::string& line) { text_of_json(line, "text", "x"); });
  CHECK(counts.accepted > 100);
  CHECK(counts.refused > 1000);
  text_of_json("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + ",\"text\":\"deep\"}",
               "text", "x");
}

}  // namespace rmoe::test
