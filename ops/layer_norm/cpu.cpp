#include "engine/reduce.hpp"
#include "ops/layer_norm/kernels.hpp"

#include <cmath>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 32;

template <class T>
void normalise_row(T* y, T& mean, T& rstd, const T* x, const T* w, const T* b, int64_t C, double eps) {
  T sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < C; ++c) sum += x[c];
  const T mu = sum / C;
  // Not mean(x^2) - mu^2: that cancels when the mean is large.
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < C; ++c) squares += (x[c] - mu) * (x[c] - mu);
  const T r = T(1) / std::sqrt(squares / C + T(eps));
  for (int64_t c = 0; c < C; ++c) y[c] = (x[c] - mu) * r * w[c] + b[c];
  mean = mu;
  rstd = r;
}

template <class T>
void add_and_normalise_row(T* sum, T* y, T& mean, T& rstd, const T* x1, const T* x2, const T* w, const T* b,
                           int64_t C, double eps) {
  for (int64_t c = 0; c < C; ++c) sum[c] = x1[c] + x2[c];
  normalise_row(y, mean, rstd, sum, w, b, C, eps);
}

// dx_c = r (g_c - mean_j(g_j) - (x_c - mu) r^2 mean_j(g_j (x_j - mu))),  g_c = dy_c w_c
template <class T>
void row_gradient(T* dx, const T* dy, const T* x, const T* w, T mu, T r, int64_t C, double beta) {
  T sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
  for (int64_t c = 0; c < C; ++c) {
    sum += dy[c] * w[c];
    dot += dy[c] * w[c] * (x[c] - mu);
  }
  const T centre = sum / C, shrink = r * r * dot / C;
  for (int64_t c = 0; c < C; ++c) {
    const T g = r * (dy[c] * w[c] - centre - (x[c] - mu) * shrink);
    dx[c] = beta == 0 ? g : dx[c] + g;
  }
}

}  // namespace

template <class T>
void layer_norm_fwd(T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x, const T* w, const T* b, int64_t N,
                    int64_t C, double eps) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) normalise_row(y + n * C, mean[n], rstd[n], x + n * C, w, b, C, eps);
  });
}

template <class T>
void add_layer_norm_fwd(T* sum, T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x1, const T* x2, const T* w,
                        const T* b, int64_t N, int64_t C, double eps) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      add_and_normalise_row(sum + n * C, y + n * C, mean[n], rstd[n], x1 + n * C, x2 + n * C, w, b, C, eps);
  });
}

template <class T>
void layer_norm_bwd_x(T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* mean, const acc_t<T>* rstd,
                      int64_t N, int64_t C, double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      row_gradient(dx + n * C, dy + n * C, x + n * C, w, mean[n], rstd[n], C, beta);
  });
}

template <class T>
void layer_norm_bwd_w(acc_t<T>* dw, const T* dy, const T* x, const acc_t<T>* mean, const acc_t<T>* rstd,
                      int64_t N, int64_t C, double beta) {
  reduce_rows<T>(N, C, dw, T(beta), [=](int64_t begin, int64_t end, T* partial) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t c = 0; c < C; ++c) partial[c] += dy[n * C + c] * ((x[n * C + c] - mean[n]) * rstd[n]);
  });
}

template <class T>
void layer_norm_bwd_b(acc_t<T>* db, const T* dy, int64_t N, int64_t C, double beta) {
  sum_rows<T>(N, C, db, T(beta), dy);
}

#define RMOE_INSTANTIATE(T)                                                                                 \
  template void layer_norm_fwd<T>(T*, acc_t<T>*, acc_t<T>*, const T*, const T*, const T*, int64_t, int64_t, \
                                  double);                                                                  \
  template void add_layer_norm_fwd<T>(T*, T*, acc_t<T>*, acc_t<T>*, const T*, const T*, const T*, const T*, \
                                      int64_t, int64_t, double);                                            \
  template void layer_norm_bwd_x<T>(T*, const T*, const T*, const T*, const acc_t<T>*, const acc_t<T>*,     \
                                    int64_t, int64_t, double);                                              \
  template void layer_norm_bwd_w<T>(T*, const T*, const T*, const acc_t<T>*, const acc_t<T>*, int64_t,      \
                                    int64_t, double);                                                       \
  template void layer_norm_bwd_b<T>(T*, const T*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
