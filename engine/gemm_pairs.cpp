#include "engine/gemm_pairs.hpp"

#include "engine/dtype.hpp"

namespace rmoe::gemm_kernel {
namespace {

Pair pair(float earlier, float later) { return Pair(bf16(later).bits) << 16 | bf16(earlier).bits; }

}  // namespace

void Rounding::run(int64_t begin, int64_t end) const {
  const int64_t n = paired_columns();
  for (int64_t i = begin; i < end; ++i) {
    Pair* y = to + i * n;
    if (along_rows) {
      const float* x = from + i * ld;
#pragma omp simd
      for (int64_t j = 0; j < columns / 2; ++j) y[j] = pair(x[2 * j], x[2 * j + 1]);
      if (columns % 2) y[n - 1] = pair(x[columns - 1], 0);
      continue;
    }
    const float *x = from + 2 * i * ld, *later = x + ld;
    if (2 * i + 1 < rows) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) y[j] = pair(x[j], later[j]);
    } else {
      for (int64_t j = 0; j < n; ++j) y[j] = pair(x[j], 0);
    }
  }
}

}  // namespace rmoe::gemm_kernel
