// The weights of a Hugging Face folder: model.safetensors, or shards model-00001-of-0000K.safetensors and
// model.safetensors.index.json, which says what lies where.
#pragma once

#include "train/safetensors.hpp"

namespace rmoe::interchange {

inline constexpr const char* kWeights = "model.safetensors";
inline constexpr const char* kIndex = "model.safetensors.index.json";

/// Writes the tensors as `dtype` in files of at most `most_bytes` of values each (a larger tensor has a file
/// of its own). Returns the names of the files.
std::vector<std::string> write_weights(const files::Path& folder, const std::vector<NamedTensor>& tensors,
                                       DType dtype, int64_t most_bytes);

class WeightFiles {
 public:
  /// Reads index and headers, not the values. A shard that is missing, truncated or does not hold what the
  /// index says is an error.
  explicit WeightFiles(const files::Path& folder);

  /// Every tensor of every file, on Device::meta.
  const std::vector<NamedTensor>& headers() const { return headers_; }
  /// One file after another, so that no more than one is in memory.
  void read(const std::function<void(const NamedTensor&)>& visit) const;

 private:
  void add(const files::Path& file);
  void add_shards(const files::Path& folder);

  std::vector<files::Path> files_;
  std::vector<NamedTensor> headers_;
};

}  // namespace rmoe::interchange
