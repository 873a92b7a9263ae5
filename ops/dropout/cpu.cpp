#include "engine/parallel.hpp"
#include "engine/random.hpp"
#include "ops/dropout/kernels.hpp"

#include <cmath>

namespace rmoe::cpu {
namespace {

/// One mask: what decides over element i of its stream.
struct Mask {
  uint64_t seed, stream;
  int64_t offset;
  float threshold;  // u has 24 bits, so u >= p exactly if u >= p rounded up to 24 bits
  double scale;
};

/// n neighbours, the first of which is decided by number `first`. A few at a time stay in registers and L1.
template <class T>
void drop(T* y, const T* x, int64_t n, const Mask& mask, uint64_t first, T beta) {
  constexpr int64_t kNumbers = 256;
  float u[kNumbers];
  const T scale = T(mask.scale);
  for (int64_t begin = 0; begin < n; begin += kNumbers) {
    const int64_t count = std::min(kNumbers, n - begin);
    uniform_run(u, count, mask.seed, mask.stream, first + begin);
    const T* from = x + begin;
    T* into = y + begin;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const T kept = u[i] >= mask.threshold ? from[i] * scale : T(0);
      into[i] = beta == T(0) ? kept : beta * into[i] + kept;
    }
  }
}

}  // namespace

template <class T>
void dropout_into(T* y, const T* x, const int32_t* row_index, int64_t N, int64_t F, double p, uint64_t seed,
                  uint64_t stream, int64_t offset, double beta) {
  constexpr int64_t kElements = 8192, kRows = 32;
  const Mask mask{seed, stream, offset, float(std::ceil(p * 0x1p24) * 0x1p-24), 1 / (1 - p)};
  if (!row_index)
    return parallel_chunks(N * F, kElements, [=](int64_t begin, int64_t end) {
      drop<T>(y + begin, x + begin, end - begin, mask, mask.offset + begin, T(beta));
    });
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      drop<T>(y + n * F, x + n * F, F, mask, mask.offset + row_index[n] * F, T(beta));
  });
}

#define RMOE_INSTANTIATE(T)                                                                                 \
  template void dropout_into<T>(T*, const T*, const int32_t*, int64_t, int64_t, double, uint64_t, uint64_t, \
                                int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
