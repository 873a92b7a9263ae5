// A permutation of [0, n) that needs no table: a Feistel network over the next power of four is a bijection
// whatever its round function is, and walking along its cycle until a number below n comes up keeps it one.
#pragma once

#include "engine/random.hpp"

#include <bit>

namespace rmoe {

class Permutation {
 public:
  /// Another `key`, another permutation. n must be positive.
  Permutation(int64_t n, uint64_t key)
      : n_(uint64_t(n)),
        key_(key),
        half_bits_((std::bit_width(n_ - 1) + 1) / 2),
        mask_((uint64_t{1} << half_bits_) - 1) {}

  /// Where i in [0, n) goes. Less than four walks on average, because n is over a quarter of the network's
  /// domain.
  int64_t operator()(int64_t i) const {
    uint64_t x = uint64_t(i);
    do x = shuffle(x);
    while (x >= n_);
    return int64_t(x);
  }

 private:
  static constexpr uint64_t kRounds = 6;

  uint64_t shuffle(uint64_t x) const {
    uint64_t left = x >> half_bits_, right = x & mask_;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (mix(key_ + round, right) & mask_);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  uint64_t n_, key_;
  int half_bits_;
  uint64_t mask_;
};

}  // namespace rmoe
