#include "engine/cuda/for_each.cuh"
#include "engine/cuda/gemm.hpp"
#include "ops/linear/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void linear_fwd(T* y, const T* x, const T* w, const T* b, int64_t N, int64_t F, int64_t C) {
  gemm<T, T>(Trans::no, Trans::yes, N, F, C, x, C, w, C, 0, y, F, b);
}

template <class T>
void linear_bwd_x(T* dx, const T* dy, const T* w, int64_t N, int64_t F, int64_t C, double beta) {
  gemm<T, T>(Trans::no, Trans::no, N, C, F, dy, F, w, C, beta, dx, C);
}

template <class T>
void linear_bwd_w(acc_t<T>* dw, const T* dy, const T* x, int64_t N, int64_t F, int64_t C, double beta) {
  gemm<T, acc_t<T>>(Trans::yes, Trans::no, F, C, N, dy, F, x, C, beta, dw, C);
}

template <class T>
void linear_bwd_b(acc_t<T>* db, const T* dy, int64_t N, int64_t F, double beta) {
  const auto* grad = device_pointer(dy);
  sum_columns(db, N, F, beta, [=] ON_DEVICE(int64_t n, int64_t f) { return to_float(grad[n * F + f]); });
}

#define RMOE_INSTANTIATE(T)                                                                        \
  template void linear_fwd<T>(T*, const T*, const T*, const T*, int64_t, int64_t, int64_t);        \
  template void linear_bwd_x<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, double);        \
  template void linear_bwd_w<T>(acc_t<T>*, const T*, const T*, int64_t, int64_t, int64_t, double); \
  template void linear_bwd_b<T>(acc_t<T>*, const T*, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
