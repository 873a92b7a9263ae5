#include "engine/cuda/for_each.cuh"
#include "engine/cuda/sum.cuh"
#include "ops/reduce/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void sum_fwd(acc_t<T>* y, const T* x, int64_t n, double s) {
  const auto* in = device_pointer(x);
  sum_all(
      n, [=] ON_DEVICE(int64_t i) { return to_float(in[i]); },
      [=] ON_DEVICE(double sum) { *y = float(s * sum); });
}

template <class T>
void sum_bwd(T* dx, const acc_t<T>* dy, int64_t n, double s, double beta) {
  auto* into = device_pointer(dx);
  const float factor = float(s), kept = float(beta);
  for_each(n, [=] ON_DEVICE(int64_t i) { put(into[i], factor * *dy, kept); });
}

#define RMOE_INSTANTIATE(T)                                       \
  template void sum_fwd<T>(acc_t<T>*, const T*, int64_t, double); \
  template void sum_bwd<T>(T*, const acc_t<T>*, int64_t, double, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
