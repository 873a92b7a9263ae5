// The "logprobs" object of an answer: tokens, token_logprobs, top_logprobs and text_offset, entry by entry.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "train/serve/log_probs.hpp"

#include <nlohmann/json.hpp>

namespace rmoe::serve {

/// The bytes a token adds to a text.
std::string bytes_of(const Tokenizer& tokenizer, int32_t token, bool begins_text);
std::string text_of(const Tokenizer& tokenizer, std::span<const int32_t> tokens);

/// The token that ends an answer. The <eos> of a vocabulary does not: it is the end of a line.
std::optional<int32_t> end_of_text(const Tokenizer& tokenizer);

class TokenList {
 public:
  explicit TokenList(const Tokenizer& tokenizer);

  /// Tokens that stand before the first listed one: offsets count characters from the start of the text.
  void skip(std::span<const int32_t> tokens);
  /// The first token of a text, which has nothing before it to be likely after: its entries are null.
  void add_first(int32_t token);
  void add(const TokenInfo& info);
  /// What was added since the last call.
  nlohmann::ordered_json take();

 private:
  void append(int32_t token, nlohmann::ordered_json log_prob, nlohmann::ordered_json top);
  void advance(int32_t token);
  std::string shown(int32_t token) const;

  const Tokenizer& tokenizer_;
  nlohmann::ordered_json json_;
  bool begun_ = false;
  int64_t offset_ = 0;      // complete characters before the next token
  std::string unfinished_;  // bytes behind them
};

}  // namespace rmoe::serve
