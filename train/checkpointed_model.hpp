// A trained model opened for use: weights, config and tokenizer out of a checkpoint.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "models/model.hpp"
#include "train/checkpoint.hpp"
#include "train/config.hpp"

#include <filesystem>
#include <memory>

namespace rmoe {

struct CheckpointedModel {
  std::filesystem::path path;
  Config config;
  TokenizerPtr tokenizer;
  std::unique_ptr<Model> model;
  int64_t step = 0;
  std::string data_fingerprint;
};

/// `path` is a run folder (its best checkpoint, or else its newest) or one checkpoint.
CheckpointedModel open_checkpoint(const std::filesystem::path& path, Device device = Device::cpu);

}  // namespace rmoe
