// Vocabulary: which token stands for which piece of text. A token is a byte or a word; the end of a line is
// the token <eos>. Ids count up in order of first appearance.
#pragma once

#include "data/tokenizer/tokenizer.hpp"

#include <array>
#include <functional>
#include <unordered_map>

namespace rmoe {

class Vocabulary final : public Tokenizer {
 public:
  /// `tokens` is "byte" or "word"; `newline` says what becomes of a newline byte: "eos", "byte" or "drop".
  /// Words always end a line with <eos>.
  explicit Vocabulary(std::string tokens = "byte", std::string newline = "eos");

  /// Tokens of a whole text, new symbols joining the vocabulary. An unfinished last line gets its <eos>.
  std::vector<int32_t> learn(std::string_view text);

  int64_t size() const override { return int64_t(symbols_.size()); }
  /// A symbol that was never learned is an error that says which and where. <eos> written out is text.
  std::vector<int32_t> encode(std::string_view text, Special special = Special::as_text) const override;
  /// Bytes one after another with <eos> as a newline; words joined by spaces.
  std::string decode(std::span<const int32_t> tokens) const override;
  std::string piece(int32_t token) const override;
  /// 'e', ' ', 0x0A, <eos>, a word.
  std::string name(int32_t token) const override;
  bool is_byte_level() const override { return bytes_; }
  std::optional<int32_t> eos() const override;

  /// vocabulary.json: {"tokens", "newline", "symbols"}; a byte is a number, a word or <eos> a string.
  std::string file_name() const override { return "vocabulary.json"; }
  std::string file_bytes() const override;
  static Vocabulary parse(std::string_view json);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  template <class IdOf>
  std::vector<int32_t> tokens_of(std::string_view text, const IdOf& id_of) const;
  int32_t find(std::string_view symbol) const;
  int32_t add(std::string_view symbol);
  const std::string& symbol(int32_t token) const;

  std::string tokens_, newline_;
  bool bytes_ = true;
  std::vector<std::string> symbols_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::array<int32_t, 256> byte_ids_;  // the byte level looks here: 100 MB of text would hash for seconds
};

}  // namespace rmoe
