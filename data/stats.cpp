#include "data/stats.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fmt/format.h>

namespace rmoe {
namespace {

// Transformer-XL's and CompeteSMoE's counts of WikiText-103, <eos> included.
constexpr int64_t kTrain = 103'227'021, kValid = 217'646, kTest = 245'569, kWords = 267'735;

bool names_wikitext103(std::string path) {
  std::transform(path.begin(), path.end(), path.begin(), [](unsigned char c) { return std::tolower(c); });
  return path.find("wikitext-103") != path.npos;
}

}  // namespace

std::string compare_with_published(const CorpusStats& stats, const DataConfig& config) {
  const bool named = names_wikitext103(config.path);
  if (config.tokens != "word")
    return named ? "WikiText-103: its published counts are of words: add --tokens word" : "";
  if (!named && stats.valid_tokens != kValid && stats.test_tokens != kTest) return {};
  std::vector<std::string> differences;
  const auto compare = [&](const char* what, int64_t got, int64_t published) {
    if (got != published) differences.push_back(fmt::format("{} {} (published {})", what, got, published));
  };
  compare("train tokens", stats.train_tokens, kTrain);
  compare("valid tokens", stats.valid_tokens, kValid);
  compare("test tokens", stats.test_tokens, kTest);
  compare("words", stats.vocabulary, kWords);
  if (differences.empty()) return "WikiText-103: all counts as published";
  return fmt::format(
      "WikiText-103: this copy is NOT the published one: {}; it is damaged or prepared in another way, "
      "\"rmoe "
      "data get wikitext-103\" fetches the original",
      fmt::join(differences, ", "));
}

CorpusStats stats_of(const Corpus& corpus, int64_t symbols) {
  CorpusStats stats;
  stats.bytes = corpus.bytes;
  stats.train_tokens = corpus.train.size();
  stats.valid_tokens = corpus.valid.size();
  stats.test_tokens = corpus.test.size();
  stats.vocabulary = corpus.tokenizer->size();
  stats.fingerprint = corpus.fingerprint;

  std::vector<std::pair<int64_t, int32_t>> counts(stats.vocabulary);
  for (int32_t id = 0; id < stats.vocabulary; ++id) counts[id].second = id;
  for (const int32_t token : corpus.train.to_vector()) ++counts[token].first;
  for (const auto& [count, token] : counts) {
    const double p = double(count) / double(stats.train_tokens);
    if (count > 0) stats.unigram_bits -= p * std::log2(p);
  }

  std::sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
    return std::pair(-a.first, a.second) < std::pair(-b.first, b.second);
  });
  counts.resize(std::min(symbols, stats.vocabulary));
  for (const auto& [count, token] : counts) stats.frequent.emplace_back(corpus.tokenizer->name(token), count);
  return stats;
}

}  // namespace rmoe
