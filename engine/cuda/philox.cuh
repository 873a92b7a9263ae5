// The random numbers of engine/random.hpp on the device: the same bits.
#pragma once

#include "engine/cuda/device.cuh"

namespace rmoe::cuda {

struct RandomBits {
  uint32_t word[4];
};

/// Numbers 4 block, ..., 4 block + 3 of a stream: Philox4x32-10.
DEVICE RandomBits philox(uint64_t seed, uint64_t stream, uint64_t block) {
  uint32_t c0 = uint32_t(block), c1 = uint32_t(block >> 32), c2 = uint32_t(stream),
           c3 = uint32_t(stream >> 32);
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  UNROLL for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
    c1 = uint32_t(p1);
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c3 = uint32_t(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// unit_uniform(bits) >= p is at_least(bits, lowest(p)): the numbers are multiples of 2^-24.
inline uint32_t lowest(double p) { return uint32_t(ceil(p * 16777216.0)); }
DEVICE bool at_least(uint32_t bits, uint32_t lowest) { return bits >> 8 >= lowest; }

}  // namespace rmoe::cuda
