#include "engine/cuda/for_each.cuh"
#include "ops/elementwise/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void add_fwd(T* y, const T* a, const T* b, int64_t n) {
  auto* out = device_pointer(y);
  const auto *left = device_pointer(a), *right = device_pointer(b);
  for_each(n, [=] ON_DEVICE(int64_t i) { put(out[i], to_float(left[i]) + to_float(right[i]), 0.0f); });
}

template <class T>
void sub_fwd(T* y, const T* a, const T* b, int64_t n) {
  auto* out = device_pointer(y);
  const auto *left = device_pointer(a), *right = device_pointer(b);
  for_each(n, [=] ON_DEVICE(int64_t i) { put(out[i], to_float(left[i]) - to_float(right[i]), 0.0f); });
}

template <class T>
void mul_into(T* y, const T* a, const T* b, int64_t n, double beta) {
  auto* out = device_pointer(y);
  const auto *left = device_pointer(a), *right = device_pointer(b);
  const float kept = float(beta);
  for_each(n, [=] ON_DEVICE(int64_t i) { put(out[i], to_float(left[i]) * to_float(right[i]), kept); });
}

template <class T>
void scale_into(T* y, const T* x, double s, int64_t n, double beta) {
  auto* out = device_pointer(y);
  const auto* in = device_pointer(x);
  const float factor = float(s), kept = float(beta);
  for_each(n, [=] ON_DEVICE(int64_t i) { put(out[i], factor * to_float(in[i]), kept); });
}

#define RMOE_INSTANTIATE(T)                                           \
  template void add_fwd<T>(T*, const T*, const T*, int64_t);          \
  template void sub_fwd<T>(T*, const T*, const T*, int64_t);          \
  template void mul_into<T>(T*, const T*, const T*, int64_t, double); \
  template void scale_into<T>(T*, const T*, double, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
