// Byte-pair encoding: a text is cut into words, a word into symbols, and the symbols merge by rank.
//
// decode(encode(text)) == text for every sequence of bytes, broken UTF-8 and zeros included, unless the model
// puts a space before the text.
#pragma once

#include "data/tokenizer/bpe_model.hpp"
#include "data/tokenizer/merger.hpp"
#include "data/tokenizer/tokenizer.hpp"
#include "data/tokenizer/word_table.hpp"

#include <array>

namespace rmoe {

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeModel model);

  int64_t size() const override { return int64_t(model_.pieces.size()); }
  std::vector<int32_t> encode(std::string_view text, Special special = Special::as_text) const override;
  /// Special tokens are written out; a space that the model puts before a text is taken away again.
  std::string decode(std::span<const int32_t> tokens) const override;
  std::string piece(int32_t token) const override { return model_.pieces[checked(token)]; }
  /// As the tokenizer's own file spells it: "Ġthe", "▁the", "<0x0A>".
  std::string name(int32_t token) const override { return model_.names[checked(token)]; }
  bool is_byte_level() const override { return false; }
  std::optional<int32_t> bos() const override { return model_.bos; }
  std::optional<int32_t> eos() const override { return model_.eos; }
  std::optional<int32_t> pad() const override { return model_.pad; }
  std::string file_name() const override { return model_.file_name; }
  std::string file_bytes() const override { return model_.file_bytes; }

  const BpeModel& model() const { return model_; }

 private:
  /// One call's working memory.
  struct Work {
    Merger merger;
    std::vector<int32_t> symbols, tokens;
  };

  int32_t checked(int32_t token) const;
  void index_symbols();
  void index_whole_words();
  int32_t symbol_of(uint32_t code) const;
  void encode_part(std::string_view text, Work& work) const;
  void encode_word(std::string_view word, Work& work) const;
  void merge_bytes(std::string_view word, Work& work) const;
  void merge_characters(std::string_view word, Work& work) const;
  void flush_symbols(Work& work) const;
  void write_bytes(std::string_view bytes, Work& work) const;

  BpeModel model_;
  PairTable pairs_;
  WordTable words_;                     // words that are a single token
  std::array<int32_t, 256> byte_ids_;   // -1: no token for this byte
  std::vector<int32_t> character_ids_;  // by code point; -1 and beyond the end: not a symbol
  AddedTokens first_[2], second_[2];    // by Special; second_: in the text that first_ leaves
};

}  // namespace rmoe
