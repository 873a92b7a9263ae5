// Folders of shards as a corpus to train on.
#pragma once

#include "data/corpus.hpp"

namespace rmoe {

struct MixturePart {
  std::string folder;
  double weight = 1;
};

/// The folders of shards that data.path means: one, or "DIR:WEIGHT, DIR:WEIGHT"; none if it is a text.
std::vector<MixturePart> shards_meant_by(const std::string& path);

/// Opens them; an error if their tokenizers differ.
Corpus load_shards(const std::vector<MixturePart>& parts, const DataConfig& config);

}  // namespace rmoe
