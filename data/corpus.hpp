// Corpus: text on disk as the tokens of three splits and the tokenizer they share.
//
// `path` is one of
//   a file                                         cut by shares, in file order: train, valid, test
//   a folder with train, valid and test files      train.txt or wiki.train.tokens, ...: its own split; one or
//                                                  two of the three are an error
//   any other folder                               its files, sorted by path, joined and cut like one file
//
// enwik8 and text8 have the published 90M / 5M / 5M bytes under the default shares.
#pragma once

#include "data/config.hpp"
#include "data/tokenizer/tokenizer.hpp"

#include <string>
#include <vector>

namespace rmoe {

struct Corpus {
  TokenizerPtr tokenizer;
  std::vector<int32_t> train, valid, test;
  int64_t bytes = 0;        // of the text on disk
  std::string fingerprint;  // sha256 of the tokens and the tokenizer: a run resumes only on equal data
};

Corpus load_corpus(const DataConfig& config);

/// Sizes of train, valid and test out of `size` for the two shares of the end of a text.
struct SplitSizes {
  int64_t train, valid, test;
};
SplitSizes split_sizes(int64_t size, double valid_share, double test_share);

}  // namespace rmoe
