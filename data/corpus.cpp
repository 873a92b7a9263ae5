#include "data/corpus.hpp"

#include "data/sha256.hpp"
#include "data/shards/shard_corpus.hpp"
#include "data/vocabulary.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <functional>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 3> kSplitNames{"train", "valid", "test"};
using Texts = std::array<std::string, 3>;
using Splits = std::array<std::vector<int32_t>, 3>;

std::string read_text(const fs::path& file) {
  RMOE_CHECK(!fs::is_directory(file), "data: ", file.string(), " is a folder, wanted a file");
  RMOE_CHECK(fs::is_regular_file(file), "data: ", file.string(), " is neither a file nor a folder");
  std::ifstream in(file, std::ios::binary);
  RMOE_CHECK(in, "data: cannot read ", file.string(), ": ", std::strerror(errno));
  std::string text(fs::file_size(file), '\0');
  in.read(text.data(), text.size());
  RMOE_CHECK(in.gcount() == int64_t(text.size()), "data: ", file.string(), " ended after ", in.gcount(),
             " of ", text.size(), " bytes");
  const size_t zero = text.find('\0');
  RMOE_CHECK(zero == text.npos, "data: ", file.string(), " is not text: byte ", zero, " is 0");
  return text;
}

/// The file of one split under one of its customary names, whatever it is; empty if there is none.
fs::path split_file(const fs::path& folder, int split) {
  std::vector<std::string> parts{kSplitNames[split]};
  if (parts[0] == "valid") parts.push_back("val");
  for (const std::string& part : parts) {
    for (const char* pattern : {"{}.txt", "wiki.{}.tokens", "wiki.{}.raw"}) {
      const fs::path file = folder / fmt::format(fmt::runtime(pattern), part);
      if (fs::exists(file)) return file;
    }
  }
  return {};
}

int splits_in(const fs::path& folder) {
  int found = 0;
  for (int split = 0; split < 3; ++split) found += !split_file(folder, split).empty();
  return found;
}

Texts read_splits(const fs::path& folder) {
  Texts texts;
  for (int split = 0; split < 3; ++split) {
    const fs::path file = split_file(folder, split);
    RMOE_CHECK(!file.empty(), "data: ", folder.string(), " is split into files but has no ",
               kSplitNames[split], ".txt (or wiki.", kSplitNames[split], ".tokens)");
    texts[split] = read_text(file);
    RMOE_CHECK(!texts[split].empty(), "data: ", file.string(), " is empty");
  }
  return texts;
}

/// Every file below the folder but hidden ones; a file that does not end its last line gets that newline.
std::string read_folder(const fs::path& folder) {
  std::vector<fs::path> files;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::end(entry); ++entry) {
    const bool hidden = entry->path().filename().string().starts_with('.');
    RMOE_CHECK(hidden || !entry->is_directory() || splits_in(entry->path()) < 3, "data: ", folder.string(),
               " is not a text but the folder above one that is split into files: name ",
               entry->path().string());
    if (hidden && entry->is_directory()) entry.disable_recursion_pending();
    if (!hidden && entry->is_regular_file()) files.push_back(entry->path());
  }
  RMOE_CHECK(!files.empty(), "data: folder ", folder.string(), " holds no files");
  std::sort(files.begin(), files.end(),
            [](const fs::path& a, const fs::path& b) { return a.generic_string() < b.generic_string(); });
  std::string all;
  for (const fs::path& file : files) {
    if (!all.empty() && all.back() != '\n') all += '\n';
    all += read_text(file);
  }
  return all;
}

/// Words must not be cut in two: their splits end with a line, or with a word where the text has no lines.
size_t end_of_piece(const std::string& text, size_t cut) {
  if (cut == 0) return 0;
  const char* separators = text.find_first_of("\n\r") == text.npos ? " " : "\n\r";
  const size_t end = text.find_first_of(separators, cut - 1);
  if (end == text.npos) return text.size();
  return end + (text.compare(end, 2, "\r\n") == 0 ? 2 : 1);
}

Texts cut(const std::string& text, const DataConfig& config) {
  const auto [train, valid, test] = split_sizes(int64_t(text.size()), config.valid_share, config.test_share);
  std::array<size_t, 2> ends{size_t(train), size_t(train + valid)};
  if (config.tokens == "word") {
    for (size_t& end : ends) end = end_of_piece(text, end);
  }
  return {text.substr(0, ends[0]), text.substr(ends[0], ends[1] - ends[0]), text.substr(ends[1])};
}

Texts read_texts(const DataConfig& config) {
  if (config.path.empty()) throw UsageError("data.path is not set: name a file or folder of text");
  const fs::path path = config.path;
  RMOE_CHECK(fs::exists(path), "data: no file or folder ", config.path,
             ": \"rmoe data get kjv\" fetches a small text, \"rmoe data get --help\" lists others");
  if (fs::is_directory(path) && splits_in(path) > 0) return read_splits(path);
  const std::string text = fs::is_directory(path) ? read_folder(path) : read_text(path);
  RMOE_CHECK(!text.empty(), "data: ", config.path, " is empty");
  return cut(text, config);
}

std::string fingerprint_of(const Splits& splits, const Tokenizer& tokenizer) {
  Sha256 sum;
  for (const std::vector<int32_t>& split : splits) {
    const int64_t size = int64_t(split.size());
    sum.update(&size, sizeof size);
    sum.update(split.data(), split.size() * sizeof(int32_t));
  }
  const std::string file = tokenizer.file_bytes();
  sum.update(file.data(), file.size());
  return sum.hex();
}

}  // namespace

SplitSizes split_sizes(int64_t size, double valid_share, double test_share) {
  if (!(valid_share >= 0 && test_share >= 0 && valid_share + test_share < 1)) {
    throw UsageError(concat("data.valid_share ", valid_share, " and data.test_share ", test_share,
                            " must not be negative and leave something to train on"));
  }
  const int64_t valid = std::llround(double(size) * valid_share),
                test = std::llround(double(size) * test_share);
  return {size - valid - test, valid, test};
}

namespace {

/// What turns a split into tokens: a vocabulary that learns as it reads, or a tokenizer that is complete.
std::function<std::vector<int32_t>(const std::string&)> make_reader(const DataConfig& config,
                                                                    TokenizerPtr& tokenizer) {
  if (config.tokens == "byte" || config.tokens == "word") {
    const auto vocabulary = std::make_shared<Vocabulary>(config.tokens, config.newline);
    tokenizer = vocabulary;
    return [vocabulary](const std::string& text) { return vocabulary->learn(text); };
  }
  RMOE_CHECK(fs::exists(config.tokens), "data.tokens is \"", config.tokens,
             "\": wanted byte, word or the path of a tokenizer, and there is no such file or folder");
  tokenizer = load_tokenizer(config.tokens);
  return [tokenizer](const std::string& text) { return tokenizer->encode(text); };
}

}  // namespace

Corpus load_corpus(const DataConfig& config) {
  if (const auto parts = shards_meant_by(config.path); !parts.empty()) return load_shards(parts, config);
  Corpus corpus;
  const auto tokens_of = make_reader(config, corpus.tokenizer);
  Texts texts = read_texts(config);
  Splits splits;
  const std::array<bool, 3> wanted{true, config.valid_share > 0, config.test_share > 0};
  for (int i = 0; i < 3; ++i) {
    corpus.bytes += int64_t(texts[i].size());
    try {
      splits[i] = tokens_of(texts[i]);
    } catch (const Error& error) {
      fail("data: ", config.path, " (", kSplitNames[i], " split): ", error.what());
    }
    texts[i] = {};
    RMOE_CHECK(!wanted[i] || splits[i].size() >= 2, "data: ", config.path, ": the ", kSplitNames[i],
               " split has ", splits[i].size(),
               " tokens, at least 2 are needed: use more text or a larger share");
  }
  corpus.fingerprint = fingerprint_of(splits, *corpus.tokenizer);
  corpus.train = std::move(splits[0]);
  corpus.valid = std::move(splits[1]);
  corpus.test = std::move(splits[2]);
  return corpus;
}

std::unique_ptr<Stream> training_stream(const Corpus& corpus, int64_t B, int64_t T, uint64_t seed) {
  if (corpus.sources.empty()) return std::make_unique<BatchStream>(corpus.train, B, T, seed);
  return std::make_unique<PackedStream>(corpus.sources, B, T, seed);
}

}  // namespace rmoe
