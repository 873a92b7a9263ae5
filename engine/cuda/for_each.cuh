// The loop of every op that works element by element, and the column sums of every bias and norm gradient.
#pragma once

#include "engine/cuda/context.hpp"
#include "engine/cuda/kernel_types.cuh"
#include "engine/cuda/scratch.hpp"

namespace rmoe::cuda {

constexpr int kThreads = 256;

/// Enough blocks for n threads, or for all multiprocessors several times over: kernels loop over the rest.
inline int blocks_for(int64_t n) {
  constexpr int64_t kMostBlocks = 4096;
  const int64_t blocks = (n + kThreads - 1) / kThreads;
  return int(blocks < kMostBlocks ? blocks : kMostBlocks);
}

template <class F>
__global__ void __launch_bounds__(kThreads) for_each_kernel(int64_t n, F f) {
  const int64_t stride = int64_t(gridDim.x) * kThreads;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride) f(i);
}

/// Calls f(i) for i in [0, n) on the device: for_each(n, [=] ON_DEVICE(int64_t i) { y[i] = x[i]; }). f is
/// copied: it holds pointers and numbers only.
template <class F>
void for_each(int64_t n, F f) {
  if (n == 0) return;
  LAUNCH((for_each_kernel<F>), blocks_for(n), kThreads, 0, stream(), n, f);
}

constexpr int kSumColumns = 32, kSumRows = 8, kRowsPerPart = 256;

/// part_pc = sum of f(n, c) over the rows n of part p, in a fixed order.
template <class F>
__global__ void __launch_bounds__(kSumColumns* kSumRows)
    column_parts_kernel(float* parts, int64_t N, int64_t C, F f) {
  SHARED(float[kSumRows][kSumColumns], sums);
  const int64_t c = int64_t(blockIdx.x) * kSumColumns + threadIdx.x;
  const int64_t begin = int64_t(blockIdx.y) * kRowsPerPart;
  const int64_t end = begin + kRowsPerPart < N ? begin + kRowsPerPart : N;
  float sum = 0.0f;
  if (c < C)
    for (int64_t n = begin + threadIdx.y; n < end; n += kSumRows) sum += f(n, c);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= C) return;
  for (int row = 1; row < kSumRows; ++row) sum += sums[row][threadIdx.x];
  parts[blockIdx.y * C + c] = sum;
}

/// out_c = beta out_c + sum_n f(n, c) for n in [0, N): the same bits on every run.
template <class F>
void sum_columns(float* out, int64_t N, int64_t C, double beta, F f) {
  if (C == 0) return;
  const int64_t parts = (N + kRowsPerPart - 1) / kRowsPerPart;
  const Scratch<float> partial(parts * C);
  float* const sums = partial.data();
  if (parts > 0) {
    const dim3 grid(unsigned((C + kSumColumns - 1) / kSumColumns), unsigned(parts));
    LAUNCH((column_parts_kernel<F>), grid, dim3(kSumColumns, kSumRows), 0, stream(), sums, N, C, f);
  }
  const float kept = float(beta);
  for_each(C, [=] ON_DEVICE(int64_t c) {
    float sum = 0.0f;
    for (int64_t p = 0; p < parts; ++p) sum += sums[p * C + c];
    put(out[c], sum, kept);
  });
}

}  // namespace rmoe::cuda
