#include "engine/map.hpp"
#include "engine/math.hpp"
#include "ops/activation/kernels.hpp"

#include <numbers>

namespace rmoe::cpu {
namespace {

/// Phi(x), the share of a standard normal below x. By erfc, since 1 + erf loses the digits of its lower tail.
template <class T>
T normal_cdf(T x) {
  return T(0.5) * math::erfc(x * T(-1 / std::numbers::sqrt2));
}

template <class T>
T normal_density(T x) {
  constexpr double kInvSqrt2Pi = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
  return T(kInvSqrt2Pi) * math::exp(T(-0.5) * x * x);
}

}  // namespace

// A comparison with NaN is false, so written this way round NaN stays NaN.
template <class T>
void relu_fwd(T* y, const T* x, int64_t n) {
  map_into(y, n, 0, [=](int64_t i) { return x[i] < T(0) ? T(0) : x[i]; });
}

template <class T>
void relu_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta) {
  map_into(dx, n, beta, [=](int64_t i) {
    const T g = dy[i];  // read in any case: a load under a condition keeps the loop from vectorising
    return y[i] > T(0) ? g : T(0);
  });
}

template <class T>
void gelu_fwd(T* y, const T* x, int64_t n) {
  map_into(y, n, 0, [=](int64_t i) { return x[i] * normal_cdf(x[i]); });
}

template <class T>
void gelu_bwd(T* dx, const T* dy, const T* x, int64_t n, double beta) {
  map_into(dx, n, beta, [=](int64_t i) { return dy[i] * (normal_cdf(x[i]) + x[i] * normal_density(x[i])); });
}

template <class T>
void sigmoid_fwd(T* y, const T* x, int64_t n) {
  map_into(y, n, 0, [=](int64_t i) { return math::sigmoid(x[i]); });
}

template <class T>
void sigmoid_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta) {
  map_into(dx, n, beta, [=](int64_t i) { return dy[i] * y[i] * (T(1) - y[i]); });
}

template <class T>
void tanh_fwd(T* y, const T* x, int64_t n) {
  map_into(y, n, 0, [=](int64_t i) { return math::tanh(x[i]); });
}

template <class T>
void tanh_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta) {
  map_into(dx, n, beta, [=](int64_t i) { return dy[i] * (T(1) - y[i] * y[i]); });
}

template <class T>
void silu_fwd(T* y, const T* x, int64_t n) {
  map_into(y, n, 0, [=](int64_t i) { return x[i] * math::sigmoid(x[i]); });
}

template <class T>
void silu_bwd(T* dx, const T* dy, const T* x, int64_t n, double beta) {
  map_into(dx, n, beta, [=](int64_t i) {
    const T s = math::sigmoid(x[i]);
    return dy[i] * s * (T(1) + x[i] * (T(1) - s));
  });
}

#define RMOE_INSTANTIATE_ONE(T, name)                 \
  template void name##_fwd<T>(T*, const T*, int64_t); \
  template void name##_bwd<T>(T*, const T*, const T*, int64_t, double);
#define RMOE_INSTANTIATE(T)        \
  RMOE_INSTANTIATE_ONE(T, relu)    \
  RMOE_INSTANTIATE_ONE(T, gelu)    \
  RMOE_INSTANTIATE_ONE(T, sigmoid) \
  RMOE_INSTANTIATE_ONE(T, tanh)    \
  RMOE_INSTANTIATE_ONE(T, silu)

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
