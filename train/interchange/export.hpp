// A trained llama as a folder that Transformers opens: config.json, generation_config.json, the weights, the
// tokenizer and, where Transformers has no such model, the Python that computes it.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "engine/files.hpp"
#include "models/model.hpp"
#include "train/config.hpp"

namespace rmoe::interchange {

struct ExportOptions {
  DType dtype = DType::f32;  // of the weights: f32 or bf16
  int64_t most_shard_bytes = 5'000'000'000;
};

/// Writes the folder `out`, which must not exist or be empty; it appears whole or not at all. Returns what a
/// user should know besides: nothing, or why there is no tokenizer.
std::string export_model(const Model& model, const Config& config, const Tokenizer& tokenizer,
                         const files::Path& out, const ExportOptions& options = {});

/// A folder that is there already must be empty.
void refuse_to_overwrite(const files::Path& out);

}  // namespace rmoe::interchange
