// The text a tokenizer learns from: all of some files and folders, or a fair sample of them.
#pragma once

#include "data/download.hpp"
#include "data/shards/documents.hpp"

namespace rmoe {

struct TrainingText {
  std::vector<std::string> inputs;  // files and folders
  Documents documents = Documents::file;
  std::string field = "text";   // of JSON lines
  int64_t bytes = 200'000'000;  // at most so many are kept
  uint64_t seed = 1;            // of the sample
};

/// The text in pieces of at most 64 KiB, cut at white space. If there is more than `bytes`, which pieces are
/// kept depends on the seed and their places alone, every piece having the same chance; their order stays.
std::vector<std::string> read_training_text(const TrainingText& wanted, const Progress& progress);

}  // namespace rmoe
