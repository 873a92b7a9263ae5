#include "engine/random.hpp"

#include "engine/parallel.hpp"

#include <cmath>
#include <cstring>
#ifdef __AVX2__
#include <immintrin.h>
#endif
#include <numbers>

namespace rmoe {
namespace {

constexpr int64_t kBlocksPerChunk = 4096;

/// Fills dst four values at a time with make(philox block) -> std::array<double, 4>.
template <class Make>
void fill_blocks(const Tensor& dst, uint64_t seed, uint64_t stream, Make make) {
  if (dst.device() == Device::meta) return;
  RMOE_CHECK(dst.dtype() == DType::f32 || dst.dtype() == DType::f64, "random: no generator for ",
             dst.dtype());
  const int64_t n = dst.numel();
  parallel_chunks((n + 3) / 4, kBlocksPerChunk, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const std::array<double, 4> values = make(philox(seed, stream, block));
      for (int64_t i = 4 * block; i < std::min(n, 4 * block + 4); ++i) {
        if (dst.dtype() == DType::f32)
          dst.data<float>()[i] = float(values[i % 4]);
        else
          dst.data<double>()[i] = values[i % 4];
      }
    }
  });
}

constexpr int kRunBlocks = 16;  // blocks that uniform_run computes side by side

#ifdef __AVX2__

using Lanes = uint64_t __attribute__((vector_size(32)));  // one 32-bit word per lane, the upper half ignored

Lanes multiply(Lanes a, uint32_t factor) {
  return Lanes(_mm256_mul_epu32(__m256i(a), __m256i(Lanes{} + factor)));
}

/// Words 0 and 1 of a lane's block, then 2 and 3, lane after lane.
void store(uint32_t* bits, Lanes w0, Lanes w1, Lanes w2, Lanes w3) {
  const Lanes low = Lanes{} + 0xffffffffu;
  const Lanes front = (w0 & low) | (w1 << 32), back = (w2 & low) | (w3 << 32);
  const Lanes ordered[2] = {__builtin_shufflevector(front, back, 0, 4, 1, 5),
                            __builtin_shufflevector(front, back, 2, 6, 3, 7)};
  std::memcpy(bits, ordered, sizeof ordered);
}

/// Four lanes to a vector; four independent vectors hide the latency of the rounds.
void philox_run(uint32_t* bits, uint64_t seed, uint64_t stream, uint64_t block) {
  constexpr int kVectors = kRunBlocks / 4;
  Lanes c[kVectors][4];
  for (int v = 0; v < kVectors; ++v) {
    const Lanes index = block + 4 * v + Lanes{0, 1, 2, 3};
    c[v][0] = index, c[v][1] = index >> 32;
    c[v][2] = Lanes{} + stream, c[v][3] = Lanes{} + (stream >> 32);
  }
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Lanes p0 = multiply(c[v][0], 0xD2511F53), p1 = multiply(c[v][2], 0xCD9E8D57);
      c[v][0] = (p1 >> 32) ^ c[v][1] ^ uint64_t { k0 }, c[v][1] = p1;
      c[v][2] = (p0 >> 32) ^ c[v][3] ^ uint64_t { k1 }, c[v][3] = p0;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int v = 0; v < kVectors; ++v) store(bits + 16 * v, c[v][0], c[v][1], c[v][2], c[v][3]);
}

#else

void philox_run(uint32_t* bits, uint64_t seed, uint64_t stream, uint64_t block) {
  for (int j = 0; j < kRunBlocks; ++j) {
    const std::array<uint32_t, 4> words = philox(seed, stream, block + j);
    std::copy(words.begin(), words.end(), bits + 4 * j);
  }
}

#endif

}  // namespace

void uniform_run(float* u, int64_t n, uint64_t seed, uint64_t stream, uint64_t first) {
  uint32_t bits[4 * kRunBlocks];
  while (n > 0) {
    philox_run(bits, seed, stream, first / 4);
    const int64_t skip = first % 4, count = std::min<int64_t>(n, 4 * kRunBlocks - skip);
    for (int64_t i = 0; i < count; ++i) u[i] = unit_uniform(bits[skip + i]);
    u += count;
    n -= count;
    first += count;
  }
}

void fill_uniform(const Tensor& dst, double low, double high, uint64_t seed, uint64_t stream) {
  fill_blocks(dst, seed, stream, [=](const std::array<uint32_t, 4>& bits) {
    std::array<double, 4> values;
    for (int i = 0; i < 4; ++i) values[i] = low + (high - low) * unit_uniform(bits[i]);
    return values;
  });
}

void fill_normal(const Tensor& dst, double mean, double stddev, uint64_t seed, uint64_t stream) {
  fill_blocks(dst, seed, stream, [=](const std::array<uint32_t, 4>& bits) {
    std::array<double, 4> values;
    for (int i = 0; i < 4; i += 2) {
      const double u = (bits[i] + 1.0) * 0x1p-32;  // in (0, 1]: its logarithm is finite
      const double radius = stddev * std::sqrt(-2 * std::log(u));
      const double angle = 2 * std::numbers::pi * (bits[i + 1] * 0x1p-32);
      values[i] = mean + radius * std::cos(angle);
      values[i + 1] = mean + radius * std::sin(angle);
    }
    return values;
  });
}

}  // namespace rmoe
