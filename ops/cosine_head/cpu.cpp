#include "engine/gemm.hpp"
#include "engine/reduce.hpp"
#include "ops/cosine_head/kernels.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 64;
constexpr double kLeastNorm = 1e-8;

/// In double, as the scaling of y: what a norm is off, a whole row is, and the temperature's gradient is a
/// small difference of large sums over such rows.
template <class T>
void inverse_norms(T* r, const T* x, int64_t N, int64_t P) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      double squares = 0;
#pragma omp simd reduction(+ : squares)
      for (int64_t p = 0; p < P; ++p) squares += double(x[n * P + p]) * double(x[n * P + p]);
      r[n] = T(1 / std::max(std::sqrt(squares), kLeastNorm));
    }
  });
}

/// dx_n = beta dx_n - x_n r_n^2 dot_n: what the norm takes back. A clamped norm is a constant and takes
/// nothing.
template <class T>
void subtract_radial(T* dx, const T* x, const T* r, const T* dot, int64_t N, int64_t P, double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const bool clamped = r[n] >= T(1) / T(kLeastNorm);
      const T shrink = clamped ? T(0) : r[n] * r[n] * dot[n];
      for (int64_t i = n * P; i < (n + 1) * P; ++i) dx[i] = (beta == 0 ? T(0) : dx[i]) - x[i] * shrink;
    }
  });
}

}  // namespace

template <class T>
void cosine_head_fwd(T* y, acc_t<T>* r, acc_t<T>* s, const T* f, const T* v, const T* tau, int64_t N,
                     int64_t E, int64_t P) {
  inverse_norms(r, f, N, P);
  inverse_norms(s, v, E, P);
  gemm<T>(Trans::no, Trans::yes, N, E, P, f, P, v, P, T(0), y, E);
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t e = 0; e < E; ++e)
        y[n * E + e] = T(double(y[n * E + e]) * double(r[n]) * double(s[e]) / double(tau[0]));
  });
}

template <class T>
void cosine_head_bwd(acc_t<T>* g, acc_t<T>* over_e, acc_t<T>* over_n, const acc_t<T>* dy, const T* y,
                     const acc_t<T>* r, const acc_t<T>* s, const T* tau, int64_t N, int64_t E) {
  reduce_rows<T>(N, E, over_n, T(0), [=](int64_t begin, int64_t end, T* partial) {
    for (int64_t n = begin; n < end; ++n) {
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t e = 0; e < E; ++e) {
        const T dot = dy[n * E + e] * y[n * E + e];  // equals dcos_ne cos_ne: tau cancels
        g[n * E + e] = dy[n * E + e] * r[n] * s[e] / tau[0];
        partial[e] += dot;
        sum += dot;
      }
      over_e[n] = sum;
    }
  });
}

template <class T>
void cosine_head_bwd_f(acc_t<T>* df, const acc_t<T>* g, const acc_t<T>* over_e, const T* f, const T* v,
                       const acc_t<T>* r, int64_t N, int64_t E, int64_t P, double beta) {
  subtract_radial(df, f, r, over_e, N, P, beta);
  gemm<T>(Trans::no, Trans::no, N, P, E, g, E, v, P, T(1), df, P);
}

template <class T>
void cosine_head_bwd_v(acc_t<T>* dv, const acc_t<T>* g, const acc_t<T>* over_n, const T* f, const T* v,
                       const acc_t<T>* s, int64_t N, int64_t E, int64_t P, double beta) {
  subtract_radial(dv, v, s, over_n, E, P, beta);
  gemm<T>(Trans::yes, Trans::no, E, P, N, g, E, f, P, T(1), dv, P);
}

template <class T>
void cosine_head_bwd_tau(acc_t<T>* dtau, const acc_t<T>* over_n, const T* tau, int64_t E, double beta) {
  T sum = 0;
  for (int64_t e = 0; e < E; ++e) sum += over_n[e];
  dtau[0] = (beta == 0 ? T(0) : dtau[0]) - sum / tau[0];
}

#define RMOE_INSTANTIATE(T)                                                                                  \
  template void cosine_head_fwd<T>(T*, acc_t<T>*, acc_t<T>*, const T*, const T*, const T*, int64_t, int64_t, \
                                   int64_t);                                                                 \
  template void cosine_head_bwd<T>(acc_t<T>*, acc_t<T>*, acc_t<T>*, const acc_t<T>*, const T*,               \
                                   const acc_t<T>*, const acc_t<T>*, const T*, int64_t, int64_t);            \
  template void cosine_head_bwd_f<T>(acc_t<T>*, const acc_t<T>*, const acc_t<T>*, const T*, const T*,        \
                                     const acc_t<T>*, int64_t, int64_t, int64_t, double);                    \
  template void cosine_head_bwd_v<T>(acc_t<T>*, const acc_t<T>*, const acc_t<T>*, const T*, const T*,        \
                                     const acc_t<T>*, int64_t, int64_t, int64_t, double);                    \
  template void cosine_head_bwd_tau<T>(acc_t<T>*, const acc_t<T>*, const T*, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
