#include "engine/math.hpp"
#include "engine/parallel.hpp"
#include "ops/softmax/kernels.hpp"

#include <limits>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 32;

/// exp for x <= 0. math::exp stops at e^-87, which is not nothing when an element is masked by -inf.
template <class T>
T exp_or_zero(T x) {
  return x < T(-87) ? T(0) : math::exp(x);
}

template <class T>
void softmax_row(T* y, const T* x, int64_t C) {
  T most = -std::numeric_limits<T>::infinity(), sum = 0;
#pragma omp simd reduction(max : most)
  for (int64_t c = 0; c < C; ++c) most = x[c] > most ? x[c] : most;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < C; ++c) sum += y[c] = exp_or_zero(x[c] - most);
  const T scale = T(1) / sum;
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) y[c] *= scale;
}

/// dx_c = beta dx_c + y_c (dy_c - sum_j dy_j y_j)
template <class T>
void softmax_row_bwd(T* dx, const T* dy, const T* y, int64_t C, T beta) {
  T dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t c = 0; c < C; ++c) dot += dy[c] * y[c];
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) {
    const T g = y[c] * (dy[c] - dot);
    dx[c] = beta == T(0) ? g : beta * dx[c] + g;
  }
}

}  // namespace

template <class T>
void softmax_fwd(T* y, const T* x, int64_t N, int64_t C) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) softmax_row(y + n * C, x + n * C, C);
  });
}

template <class T>
void softmax_bwd(T* dx, const T* dy, const T* y, int64_t N, int64_t C, double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) softmax_row_bwd(dx + n * C, dy + n * C, y + n * C, C, T(beta));
  });
}

#define RMOE_INSTANTIATE(T)                                     \
  template void softmax_fwd<T>(T*, const T*, int64_t, int64_t); \
  template void softmax_bwd<T>(T*, const T*, const T*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
