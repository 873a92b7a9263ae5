// The loop of every op that works element by element.
#pragma once

#include "engine/parallel.hpp"

namespace rmoe {

/// y_i = beta y_i + f(i) for i in [0, n); beta = 0 never reads y. y must not overlap what f reads.
template <class T, class F>
void map_into(T* y, int64_t n, double beta, F f) {
  constexpr int64_t kChunk = 1 << 14;
  parallel_chunks(n, kChunk, [=](int64_t begin, int64_t end) {
    if (beta == 0) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) y[i] = f(i);
    } else {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) y[i] = T(beta) * y[i] + f(i);
    }
  });
}

}  // namespace rmoe
