// A folder of Hugging Face's format (Llama, Mixtral, the paper's RMoE) as a run that every command opens.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "train/config.hpp"
#include "train/interchange/weight_files.hpp"

namespace rmoe::interchange {

/// A folder in which config, index and headers fit together. The values are still on disk.
struct CheckedModel {
  Config config;
  WeightFiles weights;
};
CheckedModel check_model(const files::Path& folder);

/// Writes RUN with one checkpoint, step 0, that has no optimizer state. Without `tokenizer` the folder's own
/// is taken.
Config import_model(const files::Path& folder, TokenizerPtr tokenizer, const files::Path& run);

}  // namespace rmoe::interchange
