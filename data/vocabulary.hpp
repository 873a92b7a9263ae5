// Vocabulary: which token stands for which piece of text. A token is a byte or a word; the end of a line is
// the token <eos>. Ids count up in order of first appearance.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rmoe {

class Vocabulary {
 public:
  /// `tokens` is "byte" or "word"; `newline` says what becomes of a newline byte: "eos", "byte" or "drop".
  /// Words always end a line with <eos>.
  explicit Vocabulary(std::string tokens = "byte", std::string newline = "eos");

  int64_t size() const { return int64_t(symbols_.size()); }
  bool is_byte_level() const { return bytes_; }

  /// Tokens of a whole text, new symbols joining the vocabulary. An unfinished last line gets its <eos>.
  std::vector<int32_t> learn(std::string_view text);
  /// Tokens of text as it stands. A symbol that was never learned is an error that says which and where.
  std::vector<int32_t> encode(std::string_view text) const;
  /// Bytes one after another with <eos> as a newline; words joined by spaces.
  std::string decode(std::span<const int32_t> tokens) const;
  /// One symbol for people to read: 'e', ' ', 0x0A, <eos>, a word.
  std::string name(int32_t token) const;

  /// {"tokens", "newline", "symbols"}; a byte is a number, a word or <eos> a string.
  nlohmann::json to_json() const;
  static Vocabulary from_json(const nlohmann::json& json);

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
