#include "data/tokenizer/train_byte_bpe.hpp"

#include "data/tokenizer/spelling.hpp"
#include "data/tokenizer/tokenizer_json.hpp"
#include "engine/error.hpp"
#include "engine/parallel.hpp"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <unordered_set>

namespace rmoe {
namespace {

using WordCounts = std::unordered_map<std::string_view, int64_t>;

struct Word {
  std::string_view text;
  int64_t count;
};

/// The distinct words of the texts, in the order of their bytes.
std::vector<Word> count_words(const std::vector<std::string>& texts) {
  constexpr int64_t kTextsAtOnce = 256;  // bounds what the threads' own tables hold
  WordCounts all;
  for (int64_t first = 0; first < int64_t(texts.size()); first += kTextsAtOnce) {
    const int64_t n = std::min(kTextsAtOnce, int64_t(texts.size()) - first);
    std::vector<WordCounts> counts(n);
    parallel_for(n, [&](int64_t i) {
      const std::string_view text = texts[first + i];
      for (size_t begin = 0, end; begin < text.size(); begin = end) {
        end = word_end(SplitRule::gpt2, text, begin);
        ++counts[i][text.substr(begin, end - begin)];
      }
    });
    for (const WordCounts& some : counts)
      for (const auto& [word, count] : some) all[word] += count;
  }
  std::vector<Word> words;
  for (const auto& [word, count] : all) words.push_back({word, count});
  std::sort(words.begin(), words.end(), [](const Word& a, const Word& b) { return a.text < b.text; });
  return words;
}

using Pair = uint64_t;  // left id, right id

Pair pair_of(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }

struct PairState {
  int64_t count = 0;
  std::vector<int32_t> words;  // that hold it, or did
};

struct Candidate {
  int64_t count;
  Pair pair;
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Trainer {
 public:
  Trainer(const std::vector<Word>& words, const std::array<int32_t, 256>& byte_ids) {
    for (const Word& word : words) {
      const auto begin = symbols_.size();
      for (const char byte : word.text) symbols_.push_back(byte_ids[uint8_t(byte)]);
      words_.push_back({begin, word.text.size(), word.count});
    }
    for (size_t w = 0; w < words_.size(); ++w) {
      const auto [begin, size, count] = words_[w];
      for (size_t i = begin; i + 1 < begin + size; ++i)
        change(pair_of(symbols_[i], symbols_[i + 1]), count, int32_t(w));
    }
    queue_changed(1);
  }

  /// The most frequent pair, the lowest of equals; its count is 0 if there is none.
  Candidate best() {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      const auto found = pairs_.find(top.pair);
      const int64_t count = found == pairs_.end() ? 0 : found->second.count;
      if (count == top.count) return top;
      queue_.pop();  // it has become rarer since it was queued
      if (count > 0) queue_.push({count, top.pair});
    }
    return {0, 0};
  }

  void merge(Pair pair, int32_t id) {
    const std::vector<int32_t> holders = std::move(pairs_[pair].words);
    for (const int32_t word : holders) merge_in_word(word, int32_t(pair >> 32), int32_t(uint32_t(pair)), id);
    pairs_.erase(pair);
    changed_.erase(pair);
    queue_changed(1);
  }

 private:
  struct Span {
    size_t begin, size;
    int64_t count;
  };

  void change(Pair pair, int64_t count, int32_t word) {
    PairState& state = pairs_[pair];
    state.count += count;
    if (count < 0) return;
    if (state.words.empty() || state.words.back() != word) state.words.push_back(word);
    changed_.insert(pair);
  }

  /// Left to right, so that of "aaa" the first two merge.
  void merge_in_word(int32_t w, int32_t left, int32_t right, int32_t id) {
    Span& word = words_[w];
    int32_t* s = &symbols_[word.begin];
    size_t out = 0;
    for (size_t i = 0; i < word.size; ++i, ++out) {
      if (i + 1 == word.size || s[i] != left || s[i + 1] != right) {
        s[out] = s[i];
        continue;
      }
      if (out > 0) {
        change(pair_of(s[out - 1], left), -word.count, w);
        change(pair_of(s[out - 1], id), word.count, w);
      }
      if (i + 2 < word.size) {
        change(pair_of(right, s[i + 2]), -word.count, w);
        change(pair_of(id, s[i + 2]), word.count, w);
      }
      s[out] = id;
      ++i;
    }
    word.size = out;
  }

  void queue_changed(int64_t least) {
    for (const Pair pair : changed_)
      if (const int64_t count = pairs_[pair].count; count >= least) queue_.push({count, pair});
    changed_.clear();
  }

  std::vector<int32_t> symbols_;
  std::vector<Span> words_;
  std::unordered_map<Pair, PairState> pairs_;
  std::unordered_set<Pair> changed_;  // more frequent than the queue knows
  std::priority_queue<Candidate> queue_;
};

/// Special tokens, then the bytes in the order of their spelling.
BpeModel start_model(const std::vector<std::string>& specials) {
  BpeModel model;
  model.split = SplitRule::gpt2;
  const auto add = [&](const std::string& piece, const std::string& name, PieceKind kind) {
    model.pieces.push_back(piece);
    model.names.push_back(name);
    model.kinds.push_back(kind);
  };
  for (const std::string& special : specials) {
    model.added.push_back({int32_t(model.pieces.size()), special});
    add(special, special, PieceKind::special);
  }
  std::vector<std::string> names;
  for (int byte = 0; byte < 256; ++byte) names.push_back(spell_bytes(std::string(1, char(byte))));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) add(unspell_bytes(name), name, PieceKind::normal);
  return model;
}

}  // namespace

BpeModel train_byte_bpe(const std::vector<std::string>& texts, const ByteBpeOptions& options,
                        const Progress& progress) {
  BpeModel model = start_model(options.specials);
  if (options.vocabulary < int64_t(model.pieces.size()))
    throw UsageError(concat("tokenizer: a vocabulary of ", options.vocabulary,
                            " is too small: 256 bytes and ", options.specials.size(), " special tokens take ",
                            model.pieces.size()));
  std::array<int32_t, 256> byte_ids;
  std::unordered_map<std::string, int32_t> ids;
  for (size_t id = options.specials.size(); id < model.pieces.size(); ++id) {
    byte_ids[uint8_t(model.pieces[id][0])] = int32_t(id);
    ids.emplace(model.pieces[id], int32_t(id));
  }
  if (progress.bytes) progress.bytes("counting words of texts", 0, int64_t(texts.size()));
  Trainer trainer(count_words(texts), byte_ids);
  while (int64_t(model.pieces.size()) < options.vocabulary) {
    const Candidate best = trainer.best();
    if (best.count < options.least_count) break;
    const auto left = int32_t(best.pair >> 32), right = int32_t(uint32_t(best.pair));
    const std::string piece = model.pieces[left] + model.pieces[right];
    const auto [place, is_new] = ids.emplace(piece, int32_t(model.pieces.size()));
    if (is_new) {
      model.pieces.push_back(piece);
      model.names.push_back(spell_bytes(piece));
      model.kinds.push_back(PieceKind::normal);
    }
    model.merges.push_back({left, right, {int32_t(model.merges.size()), place->second}});
    trainer.merge(best.pair, place->second);
    if (progress.bytes) progress.bytes("merging, tokens", int64_t(model.pieces.size()), options.vocabulary);
  }
  return read_tokenizer_json(write_tokenizer_json(model));
}

}  // namespace rmoe
