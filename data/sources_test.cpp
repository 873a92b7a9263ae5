#include "data/sources.hpp"

#include "data/corpus.hpp"
#include "data/debian_texts.hpp"
#include "data/sha256.hpp"
#include "data/temporary_folder.hpp"
#include "data/test_archive.hpp"
#include "data/test_server.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>
#include <set>
#include <zlib.h>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

std::string u32(uint32_t value) {
  return {char(value >> 24), char(value >> 16), char(value >> 8), char(value)};
}

/// What Unix compress makes of a text, without its three bytes of header.
std::string compressed(const std::string& text) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "x";
  write_archive(file, {{"x", text}}, archive_write_set_format_raw, archive_write_add_filter_compress);
  return content_of(file).substr(3);
}

std::string bible_data(const std::vector<std::string>& windows) {
  std::string table, body;
  uint32_t offset = uint32_t(4 + 80 + 8 + 4 * (windows.size() + 1) + 3);
  for (const std::string& text : windows) {
    table += u32(offset + uint32_t(body.size()));
    body += compressed(text);
  }
  table += u32(offset + uint32_t(body.size()));
  return "EC02" + std::string(80, ' ') + u32(65536) + u32(uint32_t(windows.size())) + table + "\x1F\x9D\x90" +
         body;
}

std::string string_vector(uint32_t version, const std::vector<std::string>& lines) {
  std::string object = "X\n" + u32(version) + u32(0) + u32(0);
  if (version >= 3) object += u32(5) + "UTF-8";
  object += u32(16) + u32(uint32_t(lines.size()));
  for (const std::string& line : lines) object += u32(0x40009) + u32(uint32_t(line.size())) + line;
  return object;
}

std::string rdb_chunk(const std::string& object) {
  std::string packed(compressBound(object.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(object.data()),
           object.size());
  return u32(uint32_t(object.size())) + packed.substr(0, size);
}

struct Listener {
  std::vector<std::string> lines;
  Progress progress{[this](const std::string& line) { lines.push_back(line); }, {}};
};

}  // namespace

TEST_CASE("sources: the Bible's windows are put together and the title goes") {
  CHECK(read_bible(bible_data({"Title\nGe1:1 In the", " beginning\n", "Ge1:2 And\n"})) ==
        "Ge1:1 In the beginning\nGe1:2 And\n");
  CHECK(error_of([] { read_bible("EC01 and more"); }) == "bible.data: not a compressed text of version EC02");
  CHECK(error_of([] { read_bible("EC02"); }) == "bible.data: ends too early: wanted 80 more bytes, got 0");
}

TEST_CASE("sources: the novels are the strings of every chunk") {
  const std::string rdb =
      rdb_chunk(string_vector(3, {"EMMA", "", "CHAPTER I"})) + rdb_chunk(string_vector(2, {"FINIS"}));
  CHECK(read_novels(rdb) == "EMMA\n\nCHAPTER I\nFINIS\n");
  CHECK(error_of([&] { read_novels(rdb.substr(0, rdb.size() - 5)); }) ==
        "Rdata.rdb: not a chunk of its stated size");
  CHECK(error_of([] { read_novels(rdb_chunk("A\n")); }) == "Rdata.rdb: not an object in XDR form");
}

TEST_CASE("sources: one file, from the package to the text, and not a second time") {
  const TemporaryFolder folder;
  write_deb(folder.path() / "served",
            {{"./usr/lib/bible.data", bible_data({"Title\nGe1:1 In the beginning\n"})}});
  const std::string deb = content_of(folder.path() / "served"), text = "Ge1:1 In the beginning\n";
  const FileServer server(deb);
  Source source{.name = "tiny",
                .about = "",
                .licence = "",
                .archive = {{server.url()}, int64_t(deb.size()), sha256(deb)},
                .archive_name = "tiny.deb",
                .member = "usr/lib/bible.data",
                .read = read_bible,
                .result = "tiny.txt",
                .bytes = int64_t(text.size()),
                .sha256 = sha256(text)};
  Listener listener;
  const fs::path corpora = folder.path() / "corpora", file = corpora / "tiny.txt";
  CHECK(get_source(source, corpora, listener.progress) == file);
  CHECK(content_of(file) == text);
  CHECK(listener.lines.back() == "tiny: " + file.string() + " is ready");
  CHECK(std::distance(fs::directory_iterator(corpora), {}) == 1);  // nothing else is left there

  CHECK(get_source(source, corpora, listener.progress) == file);
  CHECK(listener.lines.back() == "tiny: " + file.string() + " is there and intact");
  CHECK(server.starts.size() == 1);

  source.sha256 = std::string(64, '0');
  CHECK(error_of([&] { get_source(source, corpora, {}); }) ==
        "tiny: the text in " + (corpora / "tiny.deb").string() + " is not the known one: sha256 " +
            sha256(text) + ", wanted " + source.sha256);
}

TEST_CASE("sources: a folder of splits carries its sums and is repaired when damaged") {
  const TemporaryFolder folder;
  write_archive(
      folder.path() / "served",
      {{"w/wiki.train.tokens", "a b\n"}, {"w/wiki.valid.tokens", "b\n"}, {"w/wiki.test.tokens", "a\n"}},
      archive_write_set_format_zip);
  const std::string zip = content_of(folder.path() / "served");
  const FileServer server(zip);
  const Source source{.name = "w",
                      .about = "",
                      .licence = "",
                      .archive = {{server.url()}, int64_t(zip.size()), sha256(zip)},
                      .archive_name = "w.zip",
                      .members = {{"w/wiki.train.tokens", "train.txt"},
                                  {"w/wiki.valid.tokens", "valid.txt"},
                                  {"w/wiki.test.tokens", "test.txt"}},
                      .result = "w"};
  const fs::path result = get_source(source, folder.path(), {});
  CHECK(load_corpus({.path = result.string(), .tokens = "word"}).tokenizer->size() == 3);
  get_source(source, folder.path(), {});
  CHECK(server.starts.size() == 1);
  std::ofstream(result / "valid.txt") << "changed\n";
  get_source(source, folder.path(), {});
  CHECK(server.starts.size() == 2);
  CHECK(content_of(result / "valid.txt") == "b\n");
}

TEST_CASE("sources: a file that is no archive, its size known or not") {
  const TemporaryFolder folder;
  const std::string text = "{\"text\": \"a b\"}\n";
  const FileServer server(text);
  for (const int64_t bytes : {int64_t(text.size()), int64_t{0}}) {
    const Source source{.name = "plain",
                        .about = "",
                        .licence = "",
                        .archive = {{server.url()}, bytes, sha256(text)},
                        .result = "plain.jsonl"};
    const fs::path corpora = folder.path() / std::to_string(bytes), file = corpora / "plain.jsonl";
    const size_t requests = server.starts.size();
    std::filesystem::create_directories(corpora);
    std::ofstream(file.string() + ".part") << text.substr(0, 5);  // taken up where it broke off
    CHECK(get_source(source, corpora, {}) == file);
    CHECK(content_of(file) == text);
    CHECK(server.starts.back() == 5);
    get_source(source, corpora, {});
    CHECK(server.starts.size() == requests + 1);
    fs::rename(file, file.string() + ".part");  // whole, but not yet in its place
    get_source(source, corpora, {});
    CHECK(content_of(file) == text);
    CHECK(server.starts.size() == requests + 1);
  }
}

TEST_CASE("sources: the catalogue is complete and an unknown name lists it") {
  std::set<std::string> names;
  for (const Source& source : sources()) {
    CAPTURE(source.name);
    CHECK(names.insert(source.name).second);
    CHECK(!source.about.empty());
    CHECK(!source.licence.empty());
    CHECK(source.archive.sha256.size() == 64);
    CHECK((source.sha256.size() == 64) == (source.bytes > 0));
    CHECK((source.sha256.size() == 64) == !source.member.empty());  // one file made of an archive
    CHECK(source.archive_name.empty() == (source.member.empty() && source.members.empty()));
  }
  CHECK(
      error_of([] { get_source("enwik9", "corpora", {}); }) ==
      "data get: no corpus is called enwik9: there are kjv, austen, enwik8, text8, wikitext-103, wikitext-2, "
      "alpaca, arc, hellaswag, piqa, sciq, lambada");
}

}  // namespace rmoe::test
