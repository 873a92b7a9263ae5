// DIR/manifest.json: how a folder of shards is made, and how far that has come. It is replaced in one piece
// after everything it speaks of is safe on disk, so whatever instant the program is killed at, it is true.
#pragma once

#include "data/shards/documents.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

namespace rmoe {

inline constexpr std::array<const char*, 3> kSplits{"train", "valid", "test"};

/// One split: shards that are finished, and the one being written.
struct SplitProgress {
  int64_t shards = 0, shard_tokens = 0, shard_documents = 0;  // finished
  int64_t tokens = 0, documents = 0;                          // of the open shard, safe on disk
};

struct Manifest {
  static constexpr const char* kFile = "manifest.json";

  nlohmann::json settings;  // what decides the bytes of the shards
  std::string tokenizer;    // its file's name in the folder
  Position position;        // of the next document
  int64_t bytes = 0;        // of text that became tokens
  bool complete = false;
  std::array<SplitProgress, 3> splits;

  void save(const std::filesystem::path& folder) const;
  /// Nothing if the folder has none.
  static std::optional<Manifest> load(const std::filesystem::path& folder);
};

std::string shard_name(int split, int64_t number);  // train-00000.bin

}  // namespace rmoe
