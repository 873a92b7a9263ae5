#include "data/shards/prepare.hpp"

#include "data/shards/manifest.hpp"
#include "data/shards/shard_folder.hpp"
#include "engine/files.hpp"
#include "engine/parallel.hpp"
#include "engine/random.hpp"
#include "tests/folder.hpp"
#include "tests/op_case.hpp"

#include <csignal>
#include <doctest/doctest.h>
#include <map>
#include <set>
#include <sys/resource.h>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

struct Crash {};  // not an Error: nothing may clean up after it

/// JSON documents, one of them empty and one there twice, and a text of paragraphs.
void write_inputs(const TestFolder& folder, int documents = 60, int paragraphs = 40) {
  std::string lines, text;
  for (int i = 0; i < documents; ++i)
    lines += i == 7 ? "{\"text\":\"\"}\n"
                    : concat("{\"text\":\"document ", i == 9 ? 8 : i, std::string(size_t(i), '!'), "\"}\n");
  for (int i = 0; i < paragraphs; ++i) text += concat("paragraph ", i, "\nof two lines\n\n");
  folder.write("in/a.jsonl", lines);
  folder.write("in/b.txt", text);
}

PrepareOptions options_for(const TestFolder& folder, const std::string& out) {
  PrepareOptions o;
  o.inputs = {(folder / "in").string()};
  o.out = folder / out;
  o.documents = Documents::blank_line;
  o.valid_share = 0.1;
  o.test_share = 0.1;
  o.shard_tokens = 400;
  o.commit_tokens = 150;
  return o;
}

bool yes(const PrepareProgress&) { return true; }

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = files::read(entry.path());
  return files;
}

std::vector<std::string> documents_of(const ShardFolder& folder, int split) {
  std::vector<std::string> texts;
  for (const ShardFile& shard : folder.splits[split]) {
    const auto tokens = shard.view().to_vector();
    uint64_t begin = 0;
    for (const uint64_t end : shard.document_ends()) {
      CHECK(tokens[end - 1] == *folder.tokenizer->eos());
      texts.push_back(folder.tokenizer->decode(std::span(tokens).subspan(begin, end - 1 - begin)));
      begin = end;
    }
  }
  return texts;
}

}  // namespace

TEST_CASE("prepare: every document stands whole in one split, in order, with eos behind it") {
  const TestFolder folder(quick_place());
  write_inputs(folder);
  PrepareOptions options = options_for(folder, "out");
  const PrepareResult result = prepare(options, byte_tokenizer(), yes);
  CHECK(result.complete);
  const ShardFolder out = open_shards(options.out, "byte");
  std::multiset<std::string> all;
  std::map<std::string, int> split_of;
  int64_t tokens = 0;
  for (int split = 0; split < 3; ++split) {
    const auto texts = documents_of(out, split);
    CHECK(!texts.empty());
    for (const std::string& text : texts) {
      CHECK(split_of.try_emplace(text, split).first->second == split);  // equal documents do not part
      all.insert(text);
    }
    const SplitStats stats = stats_of(out.splits[split]);
    CHECK(stats.documents == int64_t(texts.size()));
    CHECK(stats.tokens == out.tokens(split).size());
    tokens += stats.tokens;
    for (const ShardFile& shard : out.splits[split]) shard.verify();
    for (size_t i = 0; i + 1 < out.splits[split].size(); ++i) CHECK(out.splits[split][i].tokens() >= 400);
  }
  CHECK(tokens == result.tokens);
  CHECK(all.size() == 99);
  CHECK(all.count("document 8!!!!!!!!") == 1);
  CHECK(all.count("paragraph 39\nof two lines\n") == 1);
  CHECK(documents_of(out, 0).front() == "document 0");
  CHECK(out.splits[0].size() > 2);
}

TEST_CASE("prepare: the bytes do not depend on threads, nor on how often progress is saved") {
  const TestFolder folder;
  write_inputs(folder);
  folder.write("in/c.txt", [] {
    std::string text;  // over a piece: encoded in parts
    for (int i = 0; text.size() < 2'500'000; ++i)
      text += concat("a long document has many lines, this is ", i, "\n");
    return text;
  }());
  const int threads = thread_count();
  std::vector<std::map<std::string, std::string>> all;
  for (const int n : {1, 2, 3}) {
    set_thread_count(n);
    PrepareOptions options = options_for(folder, concat("out", n));
    options.commit_tokens = n == 2 ? 2000 : 1'000'000;
    options.shard_tokens = 100'000;
    prepare(options, byte_tokenizer(), yes);
    all.push_back(contents(options.out));
  }
  set_thread_count(threads);
  CHECK(all[0] == all[1]);
  CHECK(all[0] == all[2]);
}

TEST_CASE("prepare: killed before an operation on the disk, twice, it goes on to the same bytes") {
  const TestFolder folder(quick_place());
  write_inputs(folder, 20, 10);
  PrepareOptions options = options_for(folder, "whole");
  options.shard_tokens = 200;
  int operations = 0;
  files::set_observer([&](const char*, const fs::path&) { ++operations; });
  prepare(options, byte_tokenizer(), yes);
  files::set_observer({});
  const auto whole = contents(options.out);
  CHECK(whole.size() == 7);  // 3 + 1 + 1 shards, tokenizer, manifest
  for (int stop = 0; stop < operations; stop += 3) {
    CAPTURE(stop);
    options.out = folder / concat("cut", stop);
    for (const int first : {stop, stop / 2 + 3}) {
      files::set_observer([left = first](const char*, const fs::path&) mutable {
        if (left-- == 0) throw Crash();
      });
      try {
        prepare(options, byte_tokenizer(), yes);
      } catch (const Crash&) {
      }
    }
    files::set_observer({});
    CHECK(prepare(options, byte_tokenizer(), yes).complete);
    CHECK(contents(options.out) == whole);
  }
}

TEST_CASE("prepare: asked to stop, it saves and goes on later; finished, it does nothing more") {
  const TestFolder folder(quick_place());
  write_inputs(folder);
  PrepareOptions options = options_for(folder, "whole");
  prepare(options, byte_tokenizer(), yes);
  const auto whole = contents(options.out);
  CHECK(prepare(options, byte_tokenizer(), yes).tokens == 0);
  CHECK(contents(options.out) == whole);
  options.out = folder / "stopped";
  const PrepareResult stopped =
      prepare(options, byte_tokenizer(), [](const PrepareProgress&) { return false; });
  CHECK(!stopped.complete);
  CHECK(stopped.tokens > 0);
  CHECK(error_of([&] { open_shards(options.out, "byte"); }).find("is not finished") != std::string::npos);
  const PrepareResult rest = prepare(options, byte_tokenizer(), yes);
  CHECK(rest.complete);
  CHECK(rest.tokens == 0);  // one round had read it all
  CHECK(contents(options.out) == whole);
}

TEST_CASE("prepare: a full disk is one line, and once there is room it goes on") {
  const TestFolder folder(quick_place());
  write_inputs(folder);
  PrepareOptions options = options_for(folder, "whole");
  options.shard_tokens = 100'000;
  prepare(options, byte_tokenizer(), yes);
  const auto whole = contents(options.out);
  options.out = folder / "full";
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tiny{2500, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tiny);
  const std::string error = error_of([&] { prepare(options, byte_tokenizer(), yes); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK_MESSAGE(
      error == "cannot write " + (options.out / ".train-00000.bin.part").string() + ": File too large",
      error);
  prepare(options, byte_tokenizer(), yes);
  CHECK(contents(options.out) == whole);
}

TEST_CASE("prepare: what cannot be is refused in one line") {
  const TestFolder folder(quick_place());
  write_inputs(folder);
  PrepareOptions options = options_for(folder, "out");
  prepare(options, byte_tokenizer(), yes);
  const std::string out = options.out.string();
  const auto error = [&](const PrepareOptions& o) {
    return error_of([&] { prepare(o, byte_tokenizer(), yes); });
  };
  PrepareOptions other = options;
  other.shard_tokens = 500;
  CHECK(error(other) == "data: " + out +
                            " was begun with other settings (shard_tokens): go on with those, name another " +
                            "--out, or remove it");
  folder.write("in/d.txt", "more");
  CHECK(error(options).find("other settings (inputs)") != std::string::npos);
  other.out = folder / "in";
  CHECK(error(other).find("holds other files already (") != std::string::npos);
  PrepareOptions few = options_for(folder, "few");
  few.inputs = {folder.write("one.txt", "a single document")};
  CHECK(error(few) ==
        "data: of 1 documents none fell into the valid split: give more text, a larger share with --split, "
        "or smaller documents with --documents");
  few.out = folder / "broken";
  few.inputs = {folder.write("bad.jsonl", "{\"text\":\"fine\"}\n{\"text\":\n")};
  CHECK(error(few) == "data: " + few.inputs[0] + " at byte 16: not JSON at byte 9 of its line");
  few.inputs = {folder.write("zero.txt", std::string("a\0b", 3))};
  few.out = folder / "zero";
  CHECK(error(few) == "data: " + few.inputs[0] + " at byte 0: not text: a byte is 0");
  prepare(few = options_for(folder, "twice"), byte_tokenizer(), [&](const PrepareProgress&) {
    CHECK(error(few) == "data: " + few.out.string() + " is being written by another rmoe data prepare");
    return true;
  });
  few.out = folder / "one.txt";
  CHECK(error(few).starts_with("cannot make the folder"));
}

TEST_CASE("byte tokenizer: 256 bytes and eos, whatever the text") {
  const TokenizerPtr t = byte_tokenizer();
  CHECK(t->size() == 257);
  CHECK(t->eos() == 256);
  CHECK(t->is_byte_level());
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += char(byte);
  const auto tokens = t->encode(all);
  CHECK(tokens.size() == 256);
  CHECK(t->decode(tokens) == all);
}

}  // namespace rmoe::test
