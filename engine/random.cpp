#include "engine/random.hpp"

#include "engine/parallel.hpp"
#include "engine/random_bits.hpp"

#include <cmath>
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

constexpr int kLanes = 32;

/// Numbers of the kLanes Philox blocks from `first` on, two to a word. The state sits in 64-bit lanes, whose
/// upper halves are left dirty, because vector units multiply 32 by 32 bits that way; see philox().
void philox_lanes(uint64_t (&pairs)[2][kLanes], uint64_t seed, uint64_t stream, uint64_t first) {
  constexpr uint64_t kLow = 0xffffffffu;
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) {
    uint64_t c0 = first + i, c1 = c0 >> 32, c2 = stream, c3 = stream >> 32;
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = (c0 & kLow) * uint64_t{0xD2511F53}, p1 = (c2 & kLow) * uint64_t{0xCD9E8D57};
      c0 = (p1 >> 32) ^ c1 ^ k0;
      c1 = p1;
      c2 = (p0 >> 32) ^ c3 ^ k1;
      c3 = p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    pairs[0][i] = (c0 & kLow) | (c1 << 32);
    pairs[1][i] = (c2 & kLow) | (c3 << 32);
  }
}

}  // namespace

template <class T>
void uniform_run(T* out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first) {
  uint64_t pairs[2][kLanes];
  T numbers[4 * kLanes];
  for (int64_t done = 0, skip = first % 4; done < n; skip = 0) {
    philox_lanes(pairs, seed, stream, (first + done) / 4);
#pragma omp simd
    for (int i = 0; i < kLanes; ++i) {
      numbers[4 * i] = unit_uniform(uint32_t(pairs[0][i]));
      numbers[4 * i + 1] = unit_uniform(uint32_t(pairs[0][i] >> 32));
      numbers[4 * i + 2] = unit_uniform(uint32_t(pairs[1][i]));
      numbers[4 * i + 3] = unit_uniform(uint32_t(pairs[1][i] >> 32));
    }
    const int64_t count = std::min<int64_t>(4 * kLanes - skip, n - done);
    std::copy_n(numbers + skip, count, out + done);
    done += count;
  }
}

template void uniform_run<float>(float*, int64_t, uint64_t, uint64_t, uint64_t);
template void uniform_run<double>(double*, int64_t, uint64_t, uint64_t, uint64_t);

void uniform_at_least(uint32_t* words, int64_t n, double least, uint64_t seed, uint64_t stream,
                      uint64_t first) {
  constexpr int64_t kAtOnce = 4 * kLanes;
  const auto integer = uint32_t(std::ceil(least * 0x1p24));  // the numbers are multiples of 2^-24
  uint64_t pairs[2][kLanes];
  for (int64_t done = 0; done < n; done += kAtOnce) {
    uint32_t keep[2 * kAtOnce];  // of the numbers from the block on that `first + done` is in
    for (int64_t half = 0; half < (first % 4 ? 2 : 1); ++half) {
      philox_lanes(pairs, seed, stream, (first + done) / 4 + half * kLanes);
      uint32_t* to = keep + half * kAtOnce;
#pragma omp simd
      for (int i = 0; i < kLanes; ++i) {
        to[4 * i] = uint32_t(pairs[0][i]) >> 8 >= integer;
        to[4 * i + 1] = uint32_t(pairs[0][i] >> 32) >> 8 >= integer;
        to[4 * i + 2] = uint32_t(pairs[1][i]) >> 8 >= integer;
        to[4 * i + 3] = uint32_t(pairs[1][i] >> 32) >> 8 >= integer;
      }
    }
    for (int64_t at = done; at < std::min(n, done + kAtOnce); at += 32) {
      const uint32_t* from = keep + first % 4 + at - done;
      uint32_t word = 0;
#pragma omp simd reduction(| : word)
      for (int i = 0; i < 32; ++i) word |= from[i] << i;
      words[at / 32] = n - at >= 32 ? word : word & ((uint32_t{1} << (n - at)) - 1);
    }
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
