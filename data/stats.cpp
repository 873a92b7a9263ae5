#include "data/stats.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace rmoe {
namespace {

struct Published {
  const char* name;
  int64_t train, valid, test, vocabulary;
};

// Transformer-XL's and CompeteSMoE's counts, <eos> included.
constexpr Published kWikiText103{"WikiText-103", 103'227'021, 217'646, 245'569, 267'735};

std::string compare(const CorpusStats& stats, const Published& known) {
  const bool valid = stats.valid_tokens == known.valid, test = stats.test_tokens == known.test;
  if (!valid && !test) return {};
  if (valid && test && stats.train_tokens == known.train && stats.vocabulary == known.vocabulary) {
    return fmt::format("{}: all counts as published", known.name);
  }
  return fmt::format("{}: published are {} / {} / {} tokens and {} words: this copy differs", known.name,
                     known.train, known.valid, known.test, known.vocabulary);
}

}  // namespace

CorpusStats stats_of(const Corpus& corpus, int64_t symbols) {
  CorpusStats stats;
  stats.bytes = corpus.bytes;
  stats.train_tokens = int64_t(corpus.train.size());
  stats.valid_tokens = int64_t(corpus.valid.size());
  stats.test_tokens = int64_t(corpus.test.size());
  stats.vocabulary = corpus.vocabulary.size();
  stats.fingerprint = corpus.fingerprint;
  stats.published = compare(stats, kWikiText103);

  std::vector<std::pair<int64_t, int32_t>> counts(stats.vocabulary);
  for (int32_t id = 0; id < stats.vocabulary; ++id) counts[id].second = id;
  for (const int32_t token : corpus.train) ++counts[token].first;
  for (const auto& [count, token] : counts) {
    const double p = double(count) / double(stats.train_tokens);
    if (count > 0) stats.unigram_bits -= p * std::log2(p);
  }

  std::sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
    return std::pair(-a.first, a.second) < std::pair(-b.first, b.second);
  });
  counts.resize(std::min(symbols, stats.vocabulary));
  for (const auto& [count, token] : counts) stats.frequent.emplace_back(corpus.vocabulary.name(token), count);
  return stats;
}

}  // namespace rmoe
