// Writes the shards of one split, one after another:
//
//   .train-00003.bin.part   the open shard's tokens, behind room for the header
//   .train-00003.ends.part  where its documents end
//   train-00003.bin         sealed (the ends behind the tokens, the header in front) and published (renamed)
//
// The manifest is saved between sealing and publishing: a program killed before repeats the sealing, one
// killed after publishes when it starts again.
#pragma once

#include "data/sha256.hpp"
#include "data/shards/manifest.hpp"
#include "data/shards/shard_file.hpp"
#include "engine/files.hpp"

namespace rmoe {

class SplitWriter {
 public:
  /// Goes on where `progress` says. `like` has the vocabulary and tokenizer of every header.
  SplitWriter(std::filesystem::path folder, int split, const ShardHeader& like,
              const SplitProgress& progress);

  /// One document, given in pieces, and behind it `eos`.
  void add(std::span<const std::vector<int32_t>> pieces, int32_t eos);
  /// Of the open shard.
  int64_t tokens() const { return progress_.tokens; }
  /// Forces to disk what was added.
  void sync();
  /// Ends the open shard; the next document begins another one.
  void seal();
  /// Gives all sealed shards their names.
  void publish();
  const SplitProgress& progress() const { return progress_; }

 private:
  std::filesystem::path part(const char* what, int64_t number) const;
  void open();
  void recover();
  void flush();

  std::filesystem::path folder_;
  int split_;
  ShardHeader like_;
  SplitProgress progress_;
  int64_t published_;
  std::optional<files::Writer> tokens_file_, ends_file_;  // none before the open shard's first document
  std::vector<int32_t> tokens_;                           // not yet written
  std::vector<uint64_t> ends_;                            // of the open shard
  size_t written_ends_ = 0;
  Sha256 payload_;
};

}  // namespace rmoe
