// tokenizer.json of Hugging Face's `tokenizers`: byte-level BPE (GPT-2, Llama 3 and Qwen style) and BPE over
// characters with byte fallback (Llama 2 style). What such a file may ask for beyond that is refused by name.
#pragma once

#include "data/tokenizer/bpe_model.hpp"

namespace rmoe {

BpeModel read_tokenizer_json(std::string bytes);

/// The file's text for a model that was trained here or read from a tokenizer.model.
std::string write_tokenizer_json(const BpeModel& model);

/// The same file with a note on which of its added tokens begin and end a text and fill up: tokenizer.json
/// itself does not say, the files beside it do. Empty names are none. Replaces an older note.
struct SpecialNames {
  std::string bos = {}, eos = {}, pad = {};
};
std::string note_special_tokens(const std::string& bytes, const SpecialNames& names);

}  // namespace rmoe
