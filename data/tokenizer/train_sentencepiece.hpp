// Trains a SentencePiece model: BPE over characters with byte fallback. The only thing that needs Debian's
// libsentencepiece; models are read and used without it.
#pragma once

#include "data/download.hpp"
#include "data/tokenizer/bpe_model.hpp"

namespace rmoe {

struct SentencePieceOptions {
  int64_t vocabulary = 0;
  double coverage = 0.9995;  // share of the text whose characters get pieces; the rarest are left to bytes
};

/// Pieces are <unk>, <s>, </s>, <pad>, 256 bytes, the characters of the texts and what they merge to: fewer
/// than wanted if the text has no more to give. Nothing is normalised, so that every text comes back.
BpeModel train_sentencepiece(const std::vector<std::string>& texts, const SentencePieceOptions& options,
                             const Progress& progress);

/// Was this program built with the library?
bool can_train_sentencepiece();

}  // namespace rmoe
