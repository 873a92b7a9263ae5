#include "engine/cuda/for_each.cuh"
#include "engine/cuda/warp.cuh"
#include "ops/rms_norm/kernels.hpp"

namespace rmoe::cuda {
namespace {

constexpr int kRowsPerBlock = 4;  // one warp each

/// The row of this warp, or -1 behind the last one: the same in every lane.
DEVICE int64_t row_of_warp(int64_t N) {
  const int64_t n = int64_t(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes;
  return n < N ? n : -1;
}

template <class T>
__global__ void __launch_bounds__(kRowsPerBlock* kLanes)
    rms_norm_fwd_kernel(T* y, float* r, const T* x, const T* w, int64_t N, int64_t C, float eps) {
  const int64_t n = row_of_warp(N);
  if (n < 0) return;
  const int lane = threadIdx.x % kLanes;
  float squares = 0.0f;
  for (int64_t c = lane; c < C; c += kLanes) squares += to_float(x[n * C + c]) * to_float(x[n * C + c]);
  const float scale = 1.0f / sqrtf(warp_reduce<Sum>(squares) / float(C) + eps);
  for (int64_t c = lane; c < C; c += kLanes)
    y[n * C + c] = from_float<T>(to_float(x[n * C + c]) * scale * to_float(w[c]));
  if (lane == 0) r[n] = scale;
}

// dx_c = r (dy_c w_c - x_c r^2 mean_j(dy_j w_j x_j))
template <class T>
__global__ void __launch_bounds__(kRowsPerBlock* kLanes)
    rms_norm_bwd_x_kernel(T* dx, const T* dy, const T* x, const T* w, const float* r, int64_t N, int64_t C,
                          float beta) {
  const int64_t n = row_of_warp(N);
  if (n < 0) return;
  const int lane = threadIdx.x % kLanes;
  float dot = 0.0f;
  for (int64_t c = lane; c < C; c += kLanes)
    dot += to_float(dy[n * C + c]) * to_float(w[c]) * to_float(x[n * C + c]);
  const float scale = r[n], shrink = scale * scale * warp_reduce<Sum>(dot) / float(C);
  for (int64_t c = lane; c < C; c += kLanes)
    put(dx[n * C + c], scale * (to_float(dy[n * C + c]) * to_float(w[c]) - to_float(x[n * C + c]) * shrink),
        beta);
}

int blocks_for(int64_t N) { return int((N + kRowsPerBlock - 1) / kRowsPerBlock); }

}  // namespace

template <class T>
void rms_norm_fwd(T* y, acc_t<T>* r, const T* x, const T* w, int64_t N, int64_t C, double eps) {
  using E = typename OnDevice<T>::type;
  if (N == 0) return;
  LAUNCH((rms_norm_fwd_kernel<E>), blocks_for(N), kRowsPerBlock * kLanes, 0, stream(), device_pointer(y), r,
         device_pointer(x), device_pointer(w), N, C, float(eps));
}

template <class T>
void rms_norm_bwd_x(T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* r, int64_t N, int64_t C,
                    double beta) {
  using E = typename OnDevice<T>::type;
  if (N == 0) return;
  LAUNCH((rms_norm_bwd_x_kernel<E>), blocks_for(N), kRowsPerBlock * kLanes, 0, stream(), device_pointer(dx),
         device_pointer(dy), device_pointer(x), device_pointer(w), r, N, C, float(beta));
}

template <class T>
void rms_norm_bwd_w(acc_t<T>* dw, const T* dy, const T* x, const acc_t<T>* r, int64_t N, int64_t C,
                    double beta) {
  const auto *grad = device_pointer(dy), *in = device_pointer(x);
  sum_columns(dw, N, C, beta, [=] ON_DEVICE(int64_t n, int64_t c) {
    return to_float(grad[n * C + c]) * to_float(in[n * C + c]) * r[n];
  });
}

#define RMOE_INSTANTIATE(T)                                                                            \
  template void rms_norm_fwd<T>(T*, acc_t<T>*, const T*, const T*, int64_t, int64_t, double);          \
  template void rms_norm_bwd_x<T>(T*, const T*, const T*, const T*, const acc_t<T>*, int64_t, int64_t, \
                                  double);                                                             \
  template void rms_norm_bwd_w<T>(acc_t<T>*, const T*, const T*, const acc_t<T>*, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
