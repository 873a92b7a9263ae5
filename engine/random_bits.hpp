// Dropout masks as bits: a thirty-second of the memory of numbers, and cheaper to make.
#pragma once

#include <cstdint>

namespace rmoe {

/// Bit i of `words` (32 to a word, the lowest first) is set if uniform_at(seed, stream, first + i) >= least,
/// for i in [0, n); the rest of the last word is clear.
void uniform_at_least(uint32_t* words, int64_t n, double least, uint64_t seed, uint64_t stream,
                      uint64_t first);

}  // namespace rmoe
