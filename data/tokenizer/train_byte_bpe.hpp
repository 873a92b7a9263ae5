// Learns a byte-level BPE: again and again the most frequent pair of neighbours within words becomes a token.
#pragma once

#include "data/download.hpp"
#include "data/tokenizer/bpe_model.hpp"

namespace rmoe {

struct ByteBpeOptions {
  int64_t vocabulary = 0;                              // tokens wanted in all, specials and bytes included
  std::vector<std::string> specials{"<|endoftext|>"};  // get the first ids
  int64_t least_count = 2;                             // a rarer pair is not worth a token
};

/// Words are cut as GPT-2 cuts them. The same texts give the same model at any thread count: of equally
/// frequent pairs the one with the lower ids is taken, as Hugging Face's trainer does. Has fewer tokens than
/// wanted if the text has no more pairs to give.
BpeModel train_byte_bpe(const std::vector<std::string>& texts, const ByteBpeOptions& options,
                        const Progress& progress);

}  // namespace rmoe
