// What a corpus looks like, for `rmoe data stat`.
#pragma once

#include "data/corpus.hpp"

#include <string>
#include <utility>
#include <vector>

namespace rmoe {

struct CorpusStats {
  int64_t bytes = 0, train_tokens = 0, valid_tokens = 0, test_tokens = 0, vocabulary = 0;
  /// The most frequent symbols of train and their counts.
  std::vector<std::pair<std::string, int64_t>> frequent = {};
  /// Entropy of a train token on its own: what a model must beat to have learned anything.
  double unigram_bits = 0;
  std::string fingerprint = {};
};

CorpusStats stats_of(const Corpus& corpus, int64_t symbols = 10);

/// How the counts compare with the published ones, if the corpus is one that has some: its path says so, or a
/// split has as many words. Empty otherwise.
std::string compare_with_published(const CorpusStats& stats, const DataConfig& config);

}  // namespace rmoe
