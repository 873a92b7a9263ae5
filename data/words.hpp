// Splitting text into words and lines the way Python reads a file in text mode and calls str.split(): the
// published WikiText-103 counts come from there, and ASCII white space alone misses them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rmoe {

/// Bytes of the white-space character (Unicode, as Python's str.isspace) that starts at text[i], 0 if none
/// does.
inline size_t white_space_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return i + k < text.size() ? uint8_t(text[i + k]) : uint8_t{0}; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return (lead >= 0x09 && lead <= 0x0D) || (lead >= 0x1C && lead <= 0x20);
  if (lead == 0xC2) return byte(1) == 0x85 || byte(1) == 0xA0 ? 2 : 0;
  if (lead < 0xE1 || lead > 0xE3 || (byte(1) & 0xC0) != 0x80 || (byte(2) & 0xC0) != 0x80) return 0;
  const uint32_t code = (lead & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
  const bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
                     code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
  return space ? 3 : 0;
}

/// Calls word(begin, end) for every word and line_end(begin) for every "\n", "\r\n" or bare "\r", in order.
template <class Word, class LineEnd>
void split_words(std::string_view text, Word&& word, LineEnd&& line_end) {
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\n' || text[i] == '\r') {
      line_end(i);
      i += text.substr(i, 2) == "\r\n" ? 2 : 1;
    } else if (const size_t space = white_space_length(text, i)) {
      i += space;
    } else {
      const size_t begin = i;
      while (i < text.size() && white_space_length(text, i) == 0) ++i;
      word(begin, i);
    }
  }
}

bool is_utf8(std::string_view text);

}  // namespace rmoe
