// The exponentials are computed twice: cheaper than keeping a row of any length.
#include "engine/cuda/rows.cuh"
#include "ops/softmax/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void softmax_fwd(T* y, const T* x, int64_t N, int64_t C) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const float* row = x + n * C;
    const float most = max_over_row(row, C, lane);
    const float sum = sum_over_row<1>(
        C, lane, [=](float value) { return expf(value - most); }, row);
    const float scale = 1.0f / sum;
    map_row<1>(
        y + n * C, C, lane, 0.0f, [=](float value) { return expf(value - most) * scale; }, row);
  });
}

// dx_c = beta dx_c + y_c (dy_c - sum_j dy_j y_j)
template <class T>
void softmax_bwd(T* dx, const T* dy, const T* y, int64_t N, int64_t C, double beta) {
  const float kept = float(beta);
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const float *g = dy + n * C, *p = y + n * C;
    const float dot = sum_over_row<1>(
        C, lane, [](float grad, float value) { return grad * value; }, g, p);
    map_row<1>(
        dx + n * C, C, lane, kept, [=](float grad, float value) { return value * (grad - dot); }, g, p);
  });
}

template void softmax_fwd<float>(float*, const float*, int64_t, int64_t);
template void softmax_bwd<float>(float*, const float*, const float*, int64_t, int64_t, double);

}  // namespace rmoe::cuda
