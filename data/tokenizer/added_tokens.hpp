// Tokens that are found in a text as they are written, before anything else is done with it: "</s>",
// "<|endoftext|>", runs of spaces. Their rules are those of tokenizer.json's added_tokens.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe {

struct AddedToken {
  int32_t id;
  std::string content;
  bool special = true;      // found only under Special::parse
  bool normalized = false;  // looked for after the others, in what these leave
  bool lstrip = false;      // takes the white space before it with it
  bool rstrip = false;      // and behind it
};

class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  /// Calls on_text for what lies between tokens and on_token for every token, in order. Of several tokens
  /// that begin at one place the longest is taken.
  void split(std::string_view text, const std::function<void(std::string_view)>& on_text,
             const std::function<void(int32_t)>& on_token) const;

 private:
  const AddedToken* longest_at(std::string_view text, size_t i) const;

  std::vector<AddedToken> tokens_;                 // longest first
  std::array<std::vector<int32_t>, 256> by_byte_;  // places in tokens_, by the first byte of the content
};

}  // namespace rmoe
