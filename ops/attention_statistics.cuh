// What the backward of both attentions must know about a row of probabilities.
#pragma once

#include "engine/cuda/context.hpp"
#include "engine/cuda/kernel_types.cuh"
#include "engine/cuda/warp.cuh"

namespace rmoe::cuda {

/// statistics_bht = {unit lse_bht, delta_bht}, delta = sum_d dy_bthd o_bthd: what the softmax's gradient
/// subtracts. One warp per row.
template <class T>
__global__ void __launch_bounds__(128)
    row_statistics_kernel(float2* statistics, const float* lse, const T* dy, const T* o, int64_t rows,
                          int64_t time, int64_t H, int D, float unit) {
  const int64_t row = int64_t(blockIdx.x) * 4 + threadIdx.x / kLanes;  // of [B,T,H]
  if (row >= rows) return;
  float sum = 0.0f;
  for (int d = threadIdx.x % kLanes; d < D; d += kLanes)
    sum += to_float(dy[row * D + d]) * to_float(o[row * D + d]);
  sum = warp_reduce<Sum>(sum);
  const int64_t at = (row / H / time * H + row % H) * time + row / H % time;  // of [B,H,T]
  if (threadIdx.x % kLanes == 0) statistics[at] = make_float2(unit * lse[at], sum);
}

template <class T>
void row_statistics(float2* statistics, const float* lse, const T* dy, const T* o, int64_t B, int64_t time,
                    int64_t H, int64_t D, float unit) {
  const int64_t rows = B * time * H;
  if (rows == 0) return;
  LAUNCH((row_statistics_kernel<T>), unsigned((rows + 3) / 4), 128, 0, stream(), statistics, lse, dy, o, rows,
         time, H, int(D), unit);
}

}  // namespace rmoe::cuda
