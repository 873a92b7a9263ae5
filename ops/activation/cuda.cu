#include "engine/cuda/map.cuh"
#include "engine/cuda/math.cuh"
#include "ops/activation/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// Phi(x), the share of a standard normal below x. By erfc, since 1 + erf loses the digits of its lower tail.
DEVICE float normal_cdf(float x) {
  constexpr float kInvSqrt2 = 0.70710678f;
  return 0.5f * erfcf(-x * kInvSqrt2);
}

DEVICE float normal_density(float x) {
  constexpr float kInvSqrt2Pi = 0.39894228f;
  return kInvSqrt2Pi * expf(-0.5f * x * x);
}

}  // namespace

// A comparison with NaN is false, so written this way round NaN stays NaN.
template <class T>
void relu_fwd(T* y, const T* x, int64_t n) {
  map_into(
      y, n, 0, [] ON_DEVICE(float value) { return value < 0.0f ? 0.0f : value; }, x);
}

template <class T>
void relu_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta) {
  map_into(
      dx, n, beta, [] ON_DEVICE(float g, float value) { return value > 0.0f ? g : 0.0f; }, dy, y);
}

template <class T>
void gelu_fwd(T* y, const T* x, int64_t n) {
  map_into(
      y, n, 0, [] ON_DEVICE(float value) { return value * normal_cdf(value); }, x);
}

template <class T>
void gelu_bwd(T* dx, const T* dy, const T* x, int64_t n, double beta) {
  const auto f = [] ON_DEVICE(float g, float value) {
    return g * (normal_cdf(value) + value * normal_density(value));
  };
  map_into(dx, n, beta, f, dy, x);
}

template <class T>
void sigmoid_fwd(T* y, const T* x, int64_t n) {
  map_into(
      y, n, 0, [] ON_DEVICE(float value) { return sigmoid(value); }, x);
}

template <class T>
void sigmoid_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta) {
  map_into(
      dx, n, beta, [] ON_DEVICE(float g, float value) { return g * value * (1.0f - value); }, dy, y);
}

template <class T>
void tanh_fwd(T* y, const T* x, int64_t n) {
  map_into(
      y, n, 0, [] ON_DEVICE(float value) { return tanhf(value); }, x);
}

template <class T>
void tanh_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta) {
  map_into(
      dx, n, beta, [] ON_DEVICE(float g, float value) { return g * (1.0f - value * value); }, dy, y);
}

template <class T>
void silu_fwd(T* y, const T* x, int64_t n) {
  map_into(
      y, n, 0, [] ON_DEVICE(float value) { return value * sigmoid(value); }, x);
}

template <class T>
void silu_bwd(T* dx, const T* dy, const T* x, int64_t n, double beta) {
  const auto f = [] ON_DEVICE(float g, float value) {
    const float s = sigmoid(value);
    return g * s * (1.0f + value * (1.0f - s));
  };
  map_into(dx, n, beta, f, dy, x);
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

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
