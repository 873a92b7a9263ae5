// A tokenizer for tests: the 256 bytes, two tokens that look like others, a token of three bytes that end
// inside a character, and the end of a text.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "engine/error.hpp"

namespace rmoe::test {

class TestTokenizer final : public Tokenizer {
 public:
  static constexpr int32_t kAlsoA = 256, kAlsoE = 257, kHalf = 258, kEnd = 259, kSize = 260;

  int64_t size() const override { return kSize; }
  std::vector<int32_t> encode(std::string_view text, Special special = Special::as_text) const override {
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < text.size(); ++i) {
      const bool end = special == Special::parse && text.substr(i).starts_with("</s>");
      tokens.push_back(end ? kEnd : int32_t(uint8_t(text[i])));
      if (end) i += 3;
    }
    return tokens;
  }
  std::string decode(std::span<const int32_t> tokens) const override {
    std::string text;
    for (const int32_t token : tokens) text += piece(token);
    return text;
  }
  std::string piece(int32_t token) const override {
    RMOE_CHECK(token >= 0 && token < kSize, "test tokenizer: token ", token);
    if (token < 256) return std::string(1, char(token));
    return token == kAlsoA ? "a" : token == kAlsoE ? "e" : token == kHalf ? "z\xE2\x82" : "</s>";
  }
  std::string name(int32_t token) const override { return piece(token); }
  bool is_byte_level() const override { return false; }
  std::optional<int32_t> eos() const override { return kEnd; }
  std::string file_name() const override { return "test"; }
  std::string file_bytes() const override { return ""; }
};

}  // namespace rmoe::test
