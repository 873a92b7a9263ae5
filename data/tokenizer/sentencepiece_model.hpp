// Reads SentencePiece's tokenizer.model: BPE with byte fallback and without normalisation. Anything else, and
// a damaged file, is an Error in one line. Needs no SentencePiece library.
#pragma once

#include "data/tokenizer/bpe_model.hpp"

namespace rmoe {

BpeModel read_sentencepiece_model(std::string bytes);

}  // namespace rmoe
