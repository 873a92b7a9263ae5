// Corpus: text on disk as the tokens of three splits and the tokenizer they share.
//
// `path` is one of
//   a file                                         cut by shares, in file order: train, valid, test
//   a folder with train, valid and test files      train.txt or wiki.train.tokens, ...: its own split; one or
//                                                  two of the three are an error
//   any other folder                               its files, sorted by path, joined and cut like one file
//
//   a folder of shards                             data/shards: its own splits and its own tokenizer
//   "DIR:WEIGHT, DIR:WEIGHT"                       a mixture of folders of shards with one tokenizer
//
// enwik8 and text8 have the published 90M / 5M / 5M bytes under the default shares.
#pragma once

#include "data/config.hpp"
#include "data/shards/packed_stream.hpp"
#include "data/tokenizer/tokenizer.hpp"

#include <string>
#include <vector>

namespace rmoe {

struct Corpus {
  TokenizerPtr tokenizer;
  Tokens train, valid, test;         // of a mixture: of its parts, one after another
  std::vector<TokenSource> sources;  // shards, to be packed and shuffled; none: a text
  int64_t bytes = 0;                 // on disk
  std::string fingerprint;  // a run resumes only on equal data. Of a text, sha256 of the tokens and the
                            // tokenizer; of shards, of their headers and their weights
};

Corpus load_corpus(const DataConfig& config);

/// What a model is trained on: parallel streams of a text, packed samples of shards.
std::unique_ptr<Stream> training_stream(const Corpus& corpus, int64_t B, int64_t T, uint64_t seed);

/// Sizes of train, valid and test out of `size` for the two shares of the end of a text.
struct SplitSizes {
  int64_t train, valid, test;
};
SplitSizes split_sizes(int64_t size, double valid_share, double test_share);

}  // namespace rmoe
