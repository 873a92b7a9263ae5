#include "engine/map.hpp"
#include "ops/elementwise/kernels.hpp"

namespace rmoe::cpu {

template <class T>
void add_fwd(T* y, const T* a, const T* b, int64_t n) {
  map_into(y, n, 0, [=](int64_t i) { return a[i] + b[i]; });
}

template <class T>
void sub_fwd(T* y, const T* a, const T* b, int64_t n) {
  map_into(y, n, 0, [=](int64_t i) { return a[i] - b[i]; });
}

template <class T>
void mul_into(T* y, const T* a, const T* b, int64_t n, double beta) {
  map_into(y, n, beta, [=](int64_t i) { return a[i] * b[i]; });
}

template <class T>
void scale_into(T* y, const T* x, double s, int64_t n, double beta) {
  map_into(y, n, beta, [=](int64_t i) { return T(s) * x[i]; });
}

#define RMOE_INSTANTIATE(T)                                           \
  template void add_fwd<T>(T*, const T*, const T*, int64_t);          \
  template void sub_fwd<T>(T*, const T*, const T*, int64_t);          \
  template void mul_into<T>(T*, const T*, const T*, int64_t, double); \
  template void scale_into<T>(T*, const T*, double, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
