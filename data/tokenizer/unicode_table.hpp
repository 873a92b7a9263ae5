// The code points of two Unicode categories; the source is made by tools/make_unicode_table.py.
#pragma once

#include <cstdint>
#include <span>

namespace rmoe::unicode {

struct CodeRange {
  uint32_t first, last;
};

extern const std::span<const CodeRange> kLetters, kNumbers;

}  // namespace rmoe::unicode
