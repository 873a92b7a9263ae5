#include "engine/reduce.hpp"
#include "ops/rms_norm/kernels.hpp"

#include <cmath>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 32;

// Rows are functions of their own: inside the lambdas of parallel_chunks g++ 12 reloads the captured pointers
// for every lane of a reduction and gathers.

template <class T>
void forward_row(T* y, acc_t<T>* r, const T* x, const T* w, int64_t C, T eps) {
  T squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < C; ++c) squares += x[c] * x[c];
  const T scale = T(1) / std::sqrt(squares / C + eps);
  for (int64_t c = 0; c < C; ++c) y[c] = x[c] * scale * w[c];
  *r = scale;
}

template <class T>
void add_forward_row(T* sum, T* y, acc_t<T>* r, const T* x1, const T* x2, const T* w, int64_t C, T eps) {
  for (int64_t c = 0; c < C; ++c) sum[c] = x1[c] + x2[c];
  forward_row(y, r, sum, w, C, eps);
}

// dx_c = r (dy_c w_c - x_c r^2 mean_j(dy_j w_j x_j))
template <class T>
void backward_row(T* dx, const T* dy, const T* x, const T* w, acc_t<T> r, int64_t C, double beta) {
  T dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t c = 0; c < C; ++c) dot += dy[c] * w[c] * x[c];
  const T shrink = r * r * dot / C;
  for (int64_t c = 0; c < C; ++c) {
    const T g = r * (dy[c] * w[c] - x[c] * shrink);
    dx[c] = beta == 0 ? g : dx[c] + g;
  }
}

template <class T>
void add_weight_gradient(T* dw, const T* dy, const T* x, acc_t<T> r, int64_t C) {
  for (int64_t c = 0; c < C; ++c) dw[c] += dy[c] * x[c] * r;
}

}  // namespace

template <class T>
void rms_norm_fwd(T* y, acc_t<T>* r, const T* x, const T* w, int64_t N, int64_t C, double eps) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) forward_row(y + n * C, r + n, x + n * C, w, C, T(eps));
  });
}

template <class T>
void add_rms_norm_fwd(T* sum, T* y, acc_t<T>* r, const T* x1, const T* x2, const T* w, int64_t N, int64_t C,
                      double eps) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      add_forward_row(sum + n * C, y + n * C, r + n, x1 + n * C, x2 + n * C, w, C, T(eps));
  });
}

template <class T>
void rms_norm_bwd_x(T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* r, int64_t N, int64_t C,
                    double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) backward_row(dx + n * C, dy + n * C, x + n * C, w, r[n], C, beta);
  });
}

template <class T>
void rms_norm_bwd_w(acc_t<T>* dw, const T* dy, const T* x, const acc_t<T>* r, int64_t N, int64_t C,
                    double beta) {
  reduce_rows<T>(N, C, dw, T(beta), [=](int64_t begin, int64_t end, T* partial) {
    for (int64_t n = begin; n < end; ++n) add_weight_gradient(partial, dy + n * C, x + n * C, r[n], C);
  });
}

#define RMOE_INSTANTIATE(T)                                                                            \
  template void rms_norm_fwd<T>(T*, acc_t<T>*, const T*, const T*, int64_t, int64_t, double);          \
  template void add_rms_norm_fwd<T>(T*, T*, acc_t<T>*, const T*, const T*, const T*, int64_t, int64_t, \
                                    double);                                                           \
  template void rms_norm_bwd_x<T>(T*, const T*, const T*, const T*, const acc_t<T>*, int64_t, int64_t, \
                                  double);                                                             \
  template void rms_norm_bwd_w<T>(T*, const T*, const T*, const acc_t<T>*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
