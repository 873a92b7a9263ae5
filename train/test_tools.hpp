// Bytes as text, for tests of file formats.
#pragma once

#include <string>
#include <string_view>

namespace rmoe::test {

inline std::string hex(std::string_view bytes) {
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace rmoe::test
