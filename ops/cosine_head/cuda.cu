// Norms and the scaling of y are double, as on the CPU: what a norm is off, a whole row is, and the
// temperature's gradient is a small difference of large sums over such rows. fp32 only: a router is never
// bf16.
#include "engine/cuda/gemm.hpp"
#include "engine/cuda/rows.cuh"
#include "engine/cuda/sum.cuh"
#include "ops/cosine_head/kernels.hpp"

namespace rmoe::cuda {
namespace {

constexpr double kLeastNorm = 1e-8;

void inverse_norms(float* r, const float* x, int64_t N, int64_t P) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    double squares = 0.0;
    for (int64_t p = lane; p < P; p += kLanes) squares += double(x[n * P + p]) * double(x[n * P + p]);
    const double norm = sqrt(warp_reduce<Sum>(squares));
    if (lane == 0) r[n] = float(1.0 / (norm > kLeastNorm ? norm : kLeastNorm));
  });
}

/// dx_n = beta dx_n - x_n r_n^2 dot_n: what the norm takes back. A clamped norm is a constant and takes
/// nothing.
void subtract_radial(float* dx, const float* x, const float* r, const float* dot, int64_t N, int64_t P,
                     double beta) {
  const float kept = float(beta);
  for_each(N * P, [=] ON_DEVICE(int64_t i) {
    const float norm = r[i / P];
    const bool clamped = norm >= float(1.0 / kLeastNorm);
    put(dx[i], clamped ? 0.0f : -x[i] * (norm * norm * dot[i / P]), kept);
  });
}

}  // namespace

template <class T>
void cosine_head_fwd(T* y, acc_t<T>* r, acc_t<T>* s, const T* f, const T* v, const T* tau, int64_t N,
                     int64_t E, int64_t P) {
  inverse_norms(r, f, N, P);
  inverse_norms(s, v, E, P);
  gemm<T, T>(Trans::no, Trans::yes, N, E, P, f, P, v, P, 0, y, E);
  for_each(N * E, [=] ON_DEVICE(int64_t i) {
    y[i] = float(double(y[i]) * double(r[i / E]) * double(s[i % E]) / double(*tau));
  });
}

template <class T>
void cosine_head_bwd(acc_t<T>* g, acc_t<T>* over_e, acc_t<T>* over_n, const acc_t<T>* dy, const T* y,
                     const acc_t<T>* r, const acc_t<T>* s, const T* tau, int64_t N, int64_t E) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const float *grad = dy + n * E, scale = r[n] / *tau;
    map_row<1>(
        g + n * E, E, lane, 0.0f, [=](float d, float norm) { return d * scale * norm; }, grad, s);
    // dy y equals dcos cos: tau cancels
    const float sum = sum_over_row<1>(
        E, lane, [](float d, float out) { return d * out; }, grad, y + n * E);
    if (lane == 0) over_e[n] = sum;
  });
  sum_columns(over_n, N, E, 0, [=] ON_DEVICE(int64_t n, int64_t e) { return dy[n * E + e] * y[n * E + e]; });
}

template <class T>
void cosine_head_bwd_f(acc_t<T>* df, const acc_t<T>* g, const acc_t<T>* over_e, const T* f, const T* v,
                       const acc_t<T>* r, int64_t N, int64_t E, int64_t P, double beta) {
  subtract_radial(df, f, r, over_e, N, P, beta);
  gemm<T, T>(Trans::no, Trans::no, N, P, E, g, E, v, P, 1, df, P);
}

template <class T>
void cosine_head_bwd_v(acc_t<T>* dv, const acc_t<T>* g, const acc_t<T>* over_n, const T* f, const T* v,
                       const acc_t<T>* s, int64_t N, int64_t E, int64_t P, double beta) {
  subtract_radial(dv, v, s, over_n, E, P, beta);
  gemm<T, T>(Trans::yes, Trans::no, E, P, N, g, E, f, P, 1, dv, P);
}

template <class T>
void cosine_head_bwd_tau(acc_t<T>* dtau, const acc_t<T>* over_n, const T* tau, int64_t E, double beta) {
  const float kept = float(beta);
  sum_all(
      E, [=] ON_DEVICE(int64_t e) { return over_n[e]; },
      [=] ON_DEVICE(double sum) { put(*dtau, -float(sum) / *tau, kept); });
}

template void cosine_head_fwd<float>(float*, float*, float*, const float*, const float*, const float*,
                                     int64_t, int64_t, int64_t);
template void cosine_head_bwd<float>(float*, float*, float*, const float*, const float*, const float*,
                                     const float*, const float*, int64_t, int64_t);
template void cosine_head_bwd_f<float>(float*, const float*, const float*, const float*, const float*,
                                       const float*, int64_t, int64_t, int64_t, double);
template void cosine_head_bwd_v<float>(float*, const float*, const float*, const float*, const float*,
                                       const float*, int64_t, int64_t, int64_t, double);
template void cosine_head_bwd_tau<float>(float*, const float*, const float*, int64_t, double);

}  // namespace rmoe::cuda
