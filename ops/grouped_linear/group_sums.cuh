// Column sums of every group's rows: the gradients of experts' biases.
#pragma once

#include "engine/cuda/context.hpp"
#include "engine/cuda/kernel_types.cuh"
#include "ops/grouped_linear/groups.cuh"

namespace rmoe::cuda {

constexpr int kGroupColumns = 32, kGroupRows = 16;

/// out_ec = beta out_ec + sum_m f(m, c) over the rows m of expert e = blockIdx.y, in a fixed order.
template <class F>
__global__ void __launch_bounds__(kGroupColumns* kGroupRows)
    group_sum_kernel(float* out, Groups groups, int columns, float beta, F f) {
  SHARED(float[kGroupRows][kGroupColumns], sums);
  const int e = blockIdx.y, c = int(blockIdx.x) * kGroupColumns + threadIdx.x;
  float sum = 0.0f;
  if (c < columns)
    for (int m = groups.begin(e) + int(threadIdx.y); m < groups.end(e); m += kGroupRows) sum += f(m, c);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= columns) return;
  for (int row = 1; row < kGroupRows; ++row) sum += sums[row][threadIdx.x];
  put(out[int64_t(e) * columns + c], sum, beta);
}

template <class F>
void sum_groups(float* out, const Groups& groups, int64_t columns, double beta, F f) {
  if (groups.E * columns == 0) return;
  const dim3 grid(unsigned((columns + kGroupColumns - 1) / kGroupColumns), unsigned(groups.E));
  LAUNCH((group_sum_kernel<F>), grid, dim3(kGroupColumns, kGroupRows), 0, stream(), out, groups, int(columns),
         float(beta), f);
}

}  // namespace rmoe::cuda
