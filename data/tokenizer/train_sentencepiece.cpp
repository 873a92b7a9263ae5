#include "data/tokenizer/train_sentencepiece.hpp"

#include "engine/error.hpp"

#ifdef RMOE_SENTENCEPIECE

#include "data/tokenizer/child_process.hpp"
#include "data/tokenizer/sentencepiece_model.hpp"
#include "data/tokenizer/unicode.hpp"

#include <sentencepiece_trainer.h>

namespace rmoe {
namespace {

constexpr int64_t kFixedPieces = 4 + 256;  // <unk>, <s>, </s>, <pad>, and one per byte

/// The lines of the texts, cut also where the encoder lets no piece lead across: bytes that are not UTF-8,
/// zeros, and the character that SentencePiece writes for a space.
class Sentences final : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& texts) : texts_(texts) { Next(); }

  bool done() const override { return text_ == texts_.size(); }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override { return {}; }

  void Next() override {
    sentence_.clear();
    for (; text_ < texts_.size(); ++text_, i_ = 0) {
      const std::string& text = texts_[text_];
      while (i_ < text.size()) {
        const unicode::Character c = unicode::decode(text, i_);
        const bool ends = !c.valid || c.code == 0 || c.code == '\n' || c.code == 0x2581;
        if (!ends) sentence_.append(text, i_, c.bytes);
        i_ += c.bytes;
        if (ends && !sentence_.empty()) return;
      }
      if (sentence_.empty()) continue;
      ++text_;
      i_ = 0;
      return;
    }
  }

 private:
  const std::vector<std::string>& texts_;
  size_t text_ = 0, i_ = 0;  // where the next sentence begins
  std::string sentence_;
};

std::string train(const std::vector<std::string>& texts, const SentencePieceOptions& options) {
  Sentences sentences(texts);
  std::string model;
  const auto status =
      sentencepiece::SentencePieceTrainer::Train({{"model_type", "bpe"},
                                                  {"vocab_size", std::to_string(options.vocabulary)},
                                                  {"hard_vocab_limit", "false"},
                                                  {"character_coverage", std::to_string(options.coverage)},
                                                  {"byte_fallback", "true"},
                                                  {"normalization_rule_name", "identity"},
                                                  {"add_dummy_prefix", "false"},
                                                  {"remove_extra_whitespaces", "false"},
                                                  {"allow_whitespace_only_pieces", "true"},
                                                  {"max_sentence_length", std::to_string(1 << 20)},
                                                  {"pad_id", "3"},
                                                  {"num_threads", "1"}},
                                                 &sentences, &model);
  const std::string problem = status.ToString();
  RMOE_CHECK(problem.find("required_chars") == problem.npos, "tokenizer: a vocabulary of ",
             options.vocabulary,
             " has no room for every character of the text: raise --vocab or lower --coverage");
  RMOE_CHECK(status.ok(), "tokenizer: SentencePiece says: ", problem);
  return model;
}

/// The number behind the name in a line of the library's log, "Added: freq=10 size=40 all=..."; 0 without
/// one.
int64_t number_in(const std::string& line, const std::string& event, const std::string& name) {
  const size_t at = line.find(event) == line.npos ? line.npos : line.find(name);
  return at == line.npos ? 0 : std::atoll(line.c_str() + at + name.size());
}

/// Version 0.1.97 crashes, instead of ending, where a text has nothing more to merge and as many pieces as a
/// multiple of 100: in the middle of this line, at the first of no pairs.
bool ran_dry(const std::string& line) { return line.ends_with("Updating active symbols. max_freq="); }

}  // namespace

bool can_train_sentencepiece() { return true; }

BpeModel train_sentencepiece(const std::vector<std::string>& texts, const SentencePieceOptions& options,
                             const Progress& progress) {
  // In a process of its own: the library ends the program on an error, knows no way to be stopped, and tells
  // how far it is in its log alone.
  int64_t characters = 0, merges = 0;
  bool dry = false;
  const auto watch = [&](const std::string& line) {
    characters = std::max(characters, number_in(line, "Alphabet size=", "size="));
    merges = std::max(merges, number_in(line, "Added: ", " size="));
    dry = dry || ran_dry(line);
    if (progress.bytes) progress.bytes("merging, tokens", merges, options.vocabulary);
  };
  try {
    return read_sentencepiece_model(run_in_child([&] { return train(texts, options); }, watch));
  } catch (const Error&) {
    if (!dry) throw;
  }
  SentencePieceOptions all = options;
  all.vocabulary = kFixedPieces + characters + merges;
  return read_sentencepiece_model(run_in_child([&] { return train(texts, all); }, watch));
}

}  // namespace rmoe

#else

namespace rmoe {

bool can_train_sentencepiece() { return false; }

BpeModel train_sentencepiece(const std::vector<std::string>&, const SentencePieceOptions&, const Progress&) {
  fail(
      "tokenizer: this program was built without SentencePiece: install libsentencepiece-dev and build it "
      "again, "
      "or train --kind bytes");
}

}  // namespace rmoe

#endif
