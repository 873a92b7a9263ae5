// The tokenizer of a Hugging Face folder.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "engine/files.hpp"

namespace rmoe::interchange {

/// Writes the file that a checkpoint keeps and `rmoe import` opens, and those that Transformers opens.
/// Returns why there are none of the latter, or nothing.
std::string write_tokenizer(const files::Path& folder, const Tokenizer& tokenizer);

}  // namespace rmoe::interchange
