#include "engine/cuda/sum.cuh"
#include "ops/entropy/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void entropy_fwd(double* h, const T* p, int64_t n) {
  sum_all(
      n, [=] ON_DEVICE(int64_t i) { return p[i] > 0.0f ? -p[i] * logf(p[i]) : 0.0f; },
      [=] ON_DEVICE(double sum) { *h = sum; });
}

template void entropy_fwd<float>(double*, const float*, int64_t);

}  // namespace rmoe::cuda
