#include "engine/cuda/map.cuh"
#include "ops/elementwise/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void add_fwd(T* y, const T* a, const T* b, int64_t n) {
  map_into(
      y, n, 0, [] ON_DEVICE(float l, float r) { return l + r; }, a, b);
}

template <class T>
void sub_fwd(T* y, const T* a, const T* b, int64_t n) {
  map_into(
      y, n, 0, [] ON_DEVICE(float l, float r) { return l - r; }, a, b);
}

template <class T>
void mul_into(T* y, const T* a, const T* b, int64_t n, double beta) {
  map_into(
      y, n, beta, [] ON_DEVICE(float l, float r) { return l * r; }, a, b);
}

template <class T>
void scale_into(T* y, const T* x, double s, int64_t n, double beta) {
  const float factor = float(s);
  map_into(
      y, n, beta, [=] ON_DEVICE(float value) { return factor * value; }, x);
}

#define RMOE_INSTANTIATE(T)                                           \
  template void add_fwd<T>(T*, const T*, const T*, int64_t);          \
  template void sub_fwd<T>(T*, const T*, const T*, int64_t);          \
  template void mul_into<T>(T*, const T*, const T*, int64_t, double); \
  template void scale_into<T>(T*, const T*, double, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
