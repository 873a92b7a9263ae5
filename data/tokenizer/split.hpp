// Where a text is cut into words before any merge: the regular expressions that published byte-level
// tokenizers carry, written out by hand. Every byte of a text belongs to exactly one word.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rmoe {

enum class SplitRule : uint8_t {
  none,    // one word
  spaces,  // before every run of spaces: what SentencePiece's pieces do not cross
  gpt2,    // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  llama3,  // contractions in either case, a sign before letters joins them, numbers by three, newlines
  qwen2,   // the same with single digits
};

/// The rule of a regular expression in a tokenizer.json, if it is a known one.
std::optional<SplitRule> rule_of_regex(std::string_view regex);

/// Where the word ends that begins at `begin` < text.size().
size_t word_end(SplitRule rule, std::string_view text, size_t begin);

}  // namespace rmoe
