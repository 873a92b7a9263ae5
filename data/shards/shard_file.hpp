// One file of tokens: our own shards with their header of 1 KiB (README.md has the layout), llm.c's and
// nanoGPT's.
#pragma once

#include "data/sha256.hpp"
#include "data/shards/mapped_file.hpp"
#include "data/tokens.hpp"

#include <array>
#include <optional>

namespace rmoe {

struct ShardHeader {
  static constexpr int64_t kBytes = 1024;

  int64_t tokens = 0, documents = 0, vocabulary = 0;
  Sum tokenizer{};  // of the tokenizer's file
  Sum payload{};    // of everything behind the header

  std::array<uint8_t, kBytes> to_bytes() const;
  int64_t file_bytes() const;
};

class ShardFile {
 public:
  /// Maps the file and checks its header and its size. `vocabulary` is that of the tokenizer the tokens
  /// belong to.
  ShardFile(const std::filesystem::path& path, int64_t vocabulary);

  const std::filesystem::path& path() const { return path_; }
  int64_t tokens() const { return tokens_; }
  int64_t bytes() const { return int64_t(file_->bytes().size()); }  // of the file
  /// Of our own shards only.
  const std::optional<ShardHeader>& header() const { return header_; }
  /// Where each document ends, eos included, counted in tokens of this file; empty for foreign files.
  std::span<const uint64_t> document_ends() const { return ends_; }
  Tokens view() const;
  /// What tells it from other files without reading all of it: its size, and its header or first bytes.
  std::string identity() const;
  /// Reads everything: an error if a checksum, a token or a document boundary is wrong.
  void verify() const;

 private:
  void read_own();
  void read_llm_c();
  void read_raw();

  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> file_;
  int64_t vocabulary_ = 0, tokens_ = 0, begin_ = 0;
  int width_ = 4;  // bytes of a token
  std::optional<ShardHeader> header_;
  std::span<const uint64_t> ends_;
};

}  // namespace rmoe
