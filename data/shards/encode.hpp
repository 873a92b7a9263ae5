// Documents to tokens, in parallel and the same for any number of threads.
#pragma once

#include "data/shards/documents.hpp"
#include "data/tokenizer/tokenizer.hpp"

namespace rmoe {

/// A document as tokens; a long one is encoded in pieces that each end with a line.
struct Encoded {
  Position begin, end;
  uint64_t hash = 0;  // of the text: the same text falls into the same split
  int64_t bytes = 0;  // of the text; 0: there is nothing to keep
  std::vector<std::vector<int32_t>> pieces;
};

/// Encodes all of them. Of several bad documents the first is the one an error names.
std::vector<Encoded> encode(std::vector<Document> documents, const Tokenizer& tokenizer,
                            const std::string& field, const std::vector<InputFile>& inputs);

}  // namespace rmoe
