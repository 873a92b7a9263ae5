// Alpaca's format: instructions with the answers to learn, as stanford_alpaca/train.py puts them to a model.
#pragma once

#include "data/tokenizer/tokenizer.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace rmoe {

struct Instruction {
  std::string instruction, input, output;  // input may be empty

  /// What the model is given; it ends at "### Response:", and the output follows at once.
  std::string prompt() const;
};

/// A JSON array or JSON lines of {"instruction", "input", "output"}; without "input" it is empty. A record
/// that does not fit is an error naming file and record.
std::vector<Instruction> load_instructions(const std::filesystem::path& file);

/// Prompt, output and the token that ends a text, cut off after `most` tokens. The first `prompt` of them are
/// given; the rest is to be learned.
struct Example {
  std::vector<int32_t> tokens;
  int64_t prompt = 0;

  /// How many tokens are to be learned: none of an example whose prompt fills it.
  int64_t learned() const { return int64_t(tokens.size()) - prompt; }
};

Example encode(const Instruction& instruction, const Tokenizer& tokenizer, int64_t most);

}  // namespace rmoe
