#include "engine/cuda/rows.cuh"
#include "ops/concat/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void concat_time_fwd(T* y, const T* a, const T* b, int64_t batch, int64_t time_a, int64_t time_b,
                     int64_t width) {
  const int64_t total = time_a + time_b;
  for_each_row(batch * total, [=] ON_DEVICE(int64_t row, int lane) {
    const int64_t i = row / total, t = row % total;
    const T* from = t < time_a ? a + (i * time_a + t) * width : b + (i * time_b + t - time_a) * width;
    for (int64_t c = lane; c < width; c += kLanes) y[row * width + c] = from[c];
  });
}

template <class T>
void concat_time_bwd(T* dx, const T* dy, int64_t batch, int64_t time, int64_t total, int64_t first,
                     int64_t width, double beta) {
  auto* into = device_pointer(dx);
  const auto* grad = device_pointer(dy);
  const float kept = float(beta);
  for_each_row(batch * time, [=] ON_DEVICE(int64_t row, int lane) {
    const auto* from = grad + (row / time * total + first + row % time) * width;
    for (int64_t c = lane; c < width; c += kLanes) put(into[row * width + c], to_float(from[c]), kept);
  });
}

#define RMOE_INSTANTIATE(T)                                                                     \
  template void concat_time_fwd<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, int64_t); \
  template void concat_time_bwd<T>(T*, const T*, int64_t, int64_t, int64_t, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
