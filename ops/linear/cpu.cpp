#include "engine/gemm.hpp"
#include "engine/reduce.hpp"
#include "ops/linear/kernels.hpp"

namespace rmoe::cpu {

template <class T>
void linear_fwd(T* y, const T* x, const T* w, const T* b, int64_t N, int64_t F, int64_t C) {
  gemm<T>(Trans::no, Trans::yes, N, F, C, x, C, w, C, T(0), y, F, b);
}

template <class T>
void linear_bwd_x(T* dx, const T* dy, const T* w, int64_t N, int64_t F, int64_t C, double beta) {
  gemm<T>(Trans::no, Trans::no, N, C, F, dy, F, w, C, T(beta), dx, C);
}

template <class T>
void linear_bwd_w(acc_t<T>* dw, const T* dy, const T* x, int64_t N, int64_t F, int64_t C, double beta) {
  gemm<T>(Trans::yes, Trans::no, F, C, N, dy, F, x, C, T(beta), dw, C);
}

template <class T>
void linear_bwd_b(acc_t<T>* db, const T* dy, int64_t N, int64_t F, double beta) {
  sum_rows<T>(N, F, db, T(beta), dy);
}

#define RMOE_INSTANTIATE(T)                                                                 \
  template void linear_fwd<T>(T*, const T*, const T*, const T*, int64_t, int64_t, int64_t); \
  template void linear_bwd_x<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, double); \
  template void linear_bwd_w<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, double); \
  template void linear_bwd_b<T>(T*, const T*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
