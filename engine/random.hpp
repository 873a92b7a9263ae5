// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011). Number i of a stream is a pure function
// of (seed, stream, i), so it is the same on every device, at any thread count and after any restart.
#pragma once

#include "engine/tensor.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace rmoe {

inline std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t block) {
  std::array<uint32_t, 4> c{uint32_t(block), uint32_t(block >> 32), uint32_t(stream), uint32_t(stream >> 32)};
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {uint32_t(p1 >> 32) ^ c[1] ^ k0, uint32_t(p1), uint32_t(p0 >> 32) ^ c[3] ^ k1, uint32_t(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// Uniform in [0, 1) with 24 bits: exact in float.
inline float unit_uniform(uint32_t bits) { return float(bits >> 8) * 0x1p-24f; }

inline float uniform_at(uint64_t seed, uint64_t stream, uint64_t i) {
  return unit_uniform(philox(seed, stream, i / 4)[i % 4]);
}

/// out_i = uniform_at(seed, stream, first + i) for i in [0, n), vectorised.
template <class T>
void uniform_run(T* out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first);

/// Where a random op takes its numbers from: element i uses number offset + i of (seed, stream). Nothing is
/// counted, so a recomputed segment and a resumed run draw the same numbers again.
struct RandomStream {
  uint64_t seed = 0, stream = 0;
  int64_t offset = 0;
};

/// FNV-1a: turns a parameter's or module's path into a stream.
constexpr uint64_t hash(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325u;
  for (char c : text) h = (h ^ uint8_t(c)) * 0x100000001b3u;
  return h;
}

/// One stream out of two numbers (SplitMix64's finaliser).
constexpr uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t z = a + 0x9e3779b97f4a7c15u * (b + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Element i takes number i of the stream; float and double tensors get the same values up to rounding.
void fill_uniform(const Tensor& dst, double low, double high, uint64_t seed, uint64_t stream);
void fill_normal(const Tensor& dst, double mean, double stddev, uint64_t seed,
                 uint64_t stream);  // Box-Muller

}  // namespace rmoe
