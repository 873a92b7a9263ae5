// Tokenizers as Transformers keeps them: tokenizer.json beside tokenizer_config.json and
// special_tokens_map.json.
#pragma once

#include "data/tokenizer/tokenizer.hpp"

namespace rmoe {

/// Writes what AutoTokenizer.from_pretrained(folder) loads. Its ids are ours, for every text (special tokens
/// being parsed, as Transformers does).
void export_hugging_face(const Tokenizer& tokenizer, const std::filesystem::path& folder);

/// Opens such a folder's tokenizer.json. What begins and ends a text only tokenizer_config.json says: that is
/// noted in the file_bytes() of the tokenizer, unless it goes without saying.
TokenizerPtr open_hugging_face(const std::filesystem::path& folder);

}  // namespace rmoe
