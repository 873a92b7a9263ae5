#include "data/tokenizer/unicode.hpp"

#include "data/tokenizer/unicode_table.hpp"

#include <vector>

namespace rmoe::unicode {
namespace {

constexpr uint32_t kCodes = 0x110000;

bool is_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::vector<Class> make_table() {
  std::vector<Class> table(kCodes, Class::other);
  const auto mark = [&](std::span<const CodeRange> ranges, Class kind) {
    for (const CodeRange& r : ranges) std::fill(&table[r.first], &table[r.last] + 1, kind);
  };
  mark(kLetters, Class::letter);
  mark(kNumbers, Class::number);
  for (uint32_t c = 0; c <= 0x3000; ++c)
    if (is_space(c)) table[c] = Class::space;
  return table;
}

constexpr Character broken(uint8_t byte) { return {byte, 1, false}; }

}  // namespace

Character decode(std::string_view text, size_t i) {
  const uint8_t lead = text[i];
  if (lead < 0x80) return {lead, 1, true};
  const uint8_t bytes = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (bytes == 0 || i + bytes > text.size()) return broken(lead);
  uint32_t code = lead & (0x7Fu >> bytes);
  for (uint8_t k = 1; k < bytes; ++k) {
    const uint8_t next = text[i + k];
    if ((next & 0xC0) != 0x80) return broken(lead);
    code = code << 6 | (next & 0x3F);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (overlong || surrogate || code >= kCodes) return broken(lead);
  return {code, bytes, true};
}

Classified classify(std::string_view text, size_t i) {
  static const std::vector<Class> table = make_table();
  const Character c = decode(text, i);
  return {c.valid ? table[c.code] : Class::other, c.bytes};
}

}  // namespace rmoe::unicode
