#include "engine/reduce.hpp"
#include "ops/layer_norm/kernels.hpp"

#include <cmath>

namespace rmoe::cpu {
namespace {
constexpr int64_t kRows = 32;
}

template <class T>
void layer_norm_fwd(T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x, const T* w, const T* b, int64_t N,
                    int64_t C, double eps) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* xn = x + n * C;
      T sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < C; ++c) sum += xn[c];
      const T mu = sum / C;
      // Not mean(x^2) - mu^2: that cancels when the mean is large.
#pragma omp simd reduction(+ : squares)
      for (int64_t c = 0; c < C; ++c) squares += (xn[c] - mu) * (xn[c] - mu);
      const T r = T(1) / std::sqrt(squares / C + T(eps));
      for (int64_t c = 0; c < C; ++c) y[n * C + c] = (xn[c] - mu) * r * w[c] + b[c];
      mean[n] = mu;
      rstd[n] = r;
    }
  });
}

// dx_nc = r_n (g_nc - mean_j(g_nj) - (x_nc - mu_n) r_n^2 mean_j(g_nj (x_nj - mu_n))),  g_nc = dy_nc w_c
template <class T>
void layer_norm_bwd_x(T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* mean, const acc_t<T>* rstd,
                      int64_t N, int64_t C, double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T *xn = x + n * C, *dyn = dy + n * C;
      const T mu = mean[n], r = rstd[n];
      T* dxn = dx + n * C;
      T sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
      for (int64_t c = 0; c < C; ++c) {
        sum += dyn[c] * w[c];
        dot += dyn[c] * w[c] * (xn[c] - mu);
      }
      const T centre = sum / C, shrink = r * r * dot / C;
      for (int64_t c = 0; c < C; ++c) {
        const T g = r * (dyn[c] * w[c] - centre - (xn[c] - mu) * shrink);
        dxn[c] = beta == 0 ? g : dxn[c] + g;
      }
    }
  });
}

template <class T>
void layer_norm_bwd_w(T* dw, const T* dy, const T* x, const acc_t<T>* mean, const acc_t<T>* rstd, int64_t N,
                      int64_t C, double beta) {
  reduce_rows<T>(N, C, dw, T(beta), [=](int64_t begin, int64_t end, T* partial) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t c = 0; c < C; ++c) partial[c] += dy[n * C + c] * ((x[n * C + c] - mean[n]) * rstd[n]);
  });
}

template <class T>
void layer_norm_bwd_b(T* db, const T* dy, int64_t N, int64_t C, double beta) {
  sum_rows<T>(N, C, db, T(beta), dy);
}

#define RMOE_INSTANTIATE(T)                                                                                 \
  template void layer_norm_fwd<T>(T*, acc_t<T>*, acc_t<T>*, const T*, const T*, const T*, int64_t, int64_t, \
                                  double);                                                                  \
  template void layer_norm_bwd_x<T>(T*, const T*, const T*, const T*, const acc_t<T>*, const acc_t<T>*,     \
                                    int64_t, int64_t, double);                                              \
  template void layer_norm_bwd_w<T>(T*, const T*, const T*, const acc_t<T>*, const acc_t<T>*, int64_t,      \
                                    int64_t, double);                                                       \
  template void layer_norm_bwd_b<T>(T*, const T*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
