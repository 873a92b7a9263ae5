#include "engine/random.hpp"

#include "engine/parallel.hpp"

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

}  // namespace

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
