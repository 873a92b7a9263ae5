#include "engine/reduce.hpp"
#include "ops/rms_norm/kernels.hpp"

#include <cmath>

namespace rmoe::cpu {
namespace {
constexpr int64_t kRows = 32;
}

template <class T>
void rms_norm_fwd(T* y, acc_t<T>* r, const T* x, const T* w, int64_t N, int64_t C, double eps) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* xn = x + n * C;
      T squares = 0;
#pragma omp simd reduction(+ : squares)
      for (int64_t c = 0; c < C; ++c) squares += xn[c] * xn[c];
      r[n] = T(1) / std::sqrt(squares / C + T(eps));
      for (int64_t c = 0; c < C; ++c) y[n * C + c] = xn[c] * r[n] * w[c];
    }
  });
}

// dx_nc = r_n (dy_nc w_c - x_nc r_n^2 mean_j(dy_nj w_j x_nj))
template <class T>
void rms_norm_bwd_x(T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* r, int64_t N, int64_t C,
                    double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T *xn = x + n * C, *dyn = dy + n * C;
      T* dxn = dx + n * C;
      T dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t c = 0; c < C; ++c) dot += dyn[c] * w[c] * xn[c];
      const T shrink = r[n] * r[n] * dot / C;
      for (int64_t c = 0; c < C; ++c) {
        const T g = r[n] * (dyn[c] * w[c] - xn[c] * shrink);
        dxn[c] = beta == 0 ? g : dxn[c] + g;
      }
    }
  });
}

template <class T>
void rms_norm_bwd_w(T* dw, const T* dy, const T* x, const acc_t<T>* r, int64_t N, int64_t C, double beta) {
  reduce_rows<T>(N, C, dw, T(beta), [=](int64_t begin, int64_t end, T* partial) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t c = 0; c < C; ++c) partial[c] += dy[n * C + c] * x[n * C + c] * r[n];
  });
}

#define RMOE_INSTANTIATE(T)                                                                            \
  template void rms_norm_fwd<T>(T*, acc_t<T>*, const T*, const T*, int64_t, int64_t, double);          \
  template void rms_norm_bwd_x<T>(T*, const T*, const T*, const T*, const acc_t<T>*, int64_t, int64_t, \
                                  double);                                                             \
  template void rms_norm_bwd_w<T>(T*, const T*, const T*, const acc_t<T>*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
