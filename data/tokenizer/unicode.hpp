// Characters of UTF-8 text and the classes that byte-level BPE cuts words by. A byte that belongs to no
// well-formed character is a character of its own, of class `other`.
#pragma once

#include <cstdint>
#include <string_view>

namespace rmoe::unicode {

enum class Class : uint8_t { other, letter, number, space };

struct Character {
  uint32_t code;
  uint8_t bytes;
  bool valid;  // false: a single byte that is not UTF-8
};

/// The character that starts at text[i], which must be there.
Character decode(std::string_view text, size_t i);

struct Classified {
  Class kind;
  uint8_t bytes;
};
Classified classify(std::string_view text, size_t i);

}  // namespace rmoe::unicode
