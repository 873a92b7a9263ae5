#include "data/tokenizer/split.hpp"

#include "data/tokenizer/unicode.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace rmoe {
namespace {

using unicode::Class;
using unicode::classify;

constexpr std::array<std::pair<SplitRule, std::string_view>, 3> kRegexes{
    {{SplitRule::gpt2, R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
     {SplitRule::llama3, R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
                         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
     {SplitRule::qwen2, R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                        R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}}};

constexpr bool is_newline(char c) { return c == '\n' || c == '\r'; }

/// End of the run of characters of one class that starts at i, of at most `limit` characters.
size_t run_end(std::string_view text, size_t i, Class kind, size_t limit = SIZE_MAX) {
  for (; i < text.size() && limit > 0; --limit) {
    const unicode::Classified c = classify(text, i);
    if (c.kind != kind) break;
    i += c.bytes;
  }
  return i;
}

/// Bytes of an English contraction ('s, 't, 're, ...) at text[i], 0 if there is none. Without regard to case
/// the long s (U+017F) is an s, as it is to regular expressions.
size_t contraction(std::string_view text, size_t i, bool any_case) {
  if (text[i] != '\'') return 0;
  const auto lower = [&](size_t k) -> char {
    const char c = i + k < text.size() ? text[i + k] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  };
  const char a = lower(1), b = lower(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  return any_case && text.substr(i + 1, 2) == "\u017F" ? 3 : 0;
}

/// \s+(?!\S)|\s+ at a white-space character: the last of several goes with what follows.
size_t space_end(std::string_view text, size_t i) {
  size_t last = i, end = i;
  while (end < text.size()) {
    const unicode::Classified c = classify(text, end);
    if (c.kind != Class::space) return last == i ? end : last;
    last = end;
    end += c.bytes;
  }
  return end;
}

size_t gpt2_end(std::string_view text, size_t i) {
  if (const size_t bytes = contraction(text, i, false)) return i + bytes;
  const size_t word = i + (text[i] == ' ');
  if (word == text.size()) return word;
  const Class kind = classify(text, word).kind;
  return kind == Class::space ? space_end(text, i) : run_end(text, word, kind);
}

/// \s*[\r\n]+|\s+(?!\S)|\s+
size_t line_end(std::string_view text, size_t i) {
  for (size_t k = run_end(text, i, Class::space); k > i; --k)
    if (is_newline(text[k - 1])) return k;
  return space_end(text, i);
}

size_t llama3_end(std::string_view text, size_t i, size_t digits) {
  if (const size_t bytes = contraction(text, i, true)) return i + bytes;
  const auto [kind, bytes] = classify(text, i);
  if (kind == Class::letter) return run_end(text, i, kind);
  if (kind == Class::number) return run_end(text, i, kind, digits);
  const size_t next = i + bytes;
  const Class next_kind = next < text.size() ? classify(text, next).kind : Class::space;
  if (next_kind == Class::letter && !is_newline(text[i])) return run_end(text, next, next_kind);
  if (kind == Class::other || (text[i] == ' ' && next_kind == Class::other)) {
    size_t end = run_end(text, text[i] == ' ' ? next : i, Class::other);
    while (end < text.size() && is_newline(text[end])) ++end;
    return end;
  }
  return line_end(text, i);
}

size_t spaces_end(std::string_view text, size_t i) {
  const size_t word = text.find_first_not_of(' ', i);
  return word == text.npos ? text.size() : std::min(text.find(' ', word), text.size());
}

}  // namespace

std::optional<SplitRule> rule_of_regex(std::string_view regex) {
  for (const auto& [rule, text] : kRegexes)
    if (text == regex) return rule;
  return {};
}

size_t word_end(SplitRule rule, std::string_view text, size_t begin) {
  switch (rule) {
    case SplitRule::none:
      return text.size();
    case SplitRule::spaces:
      return spaces_end(text, begin);
    case SplitRule::gpt2:
      return gpt2_end(text, begin);
    case SplitRule::llama3:
      return llama3_end(text, begin, 3);
    case SplitRule::qwen2:
      return llama3_end(text, begin, 1);
  }
  return text.size();
}

}  // namespace rmoe
