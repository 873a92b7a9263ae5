// Unicode's letter case as Python has it, in runs of code points. Made by tools/make_case_table.py.
#pragma once

#include <cstdint>
#include <span>

namespace rmoe::case_table {

/// Every step-th code point from first to last moves by delta.
struct Run {
  uint32_t first, last, step;
  int32_t delta;
};

/// A letter that becomes up to three.
struct Special {
  uint32_t code;
  uint32_t to[3];  // ends with 0 if there are fewer
};

struct Range {
  uint32_t first, last;
};

extern const std::span<const Run> lower, title;
extern const std::span<const Special> special_title;
/// Letters with a case, and what may stand between such a letter and the end of its word: they tell which of
/// its two small forms a capital sigma takes.
extern const std::span<const Range> cased, ignored;

}  // namespace rmoe::case_table
