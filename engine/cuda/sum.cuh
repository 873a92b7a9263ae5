// Sums of everything, in double and in a fixed order: losses, means, norms. The result stays on the device.
#pragma once

#include "engine/cuda/context.hpp"
#include "engine/cuda/scratch.hpp"
#include "engine/cuda/warp.cuh"

namespace rmoe::cuda {

constexpr int kSumThreads = 512;
constexpr int64_t kSumPart = 1 << 14;  // elements that one block adds up

template <class F>
DEVICE double block_sum(int64_t begin, int64_t end, const F& f) {
  double sum = 0.0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kSumThreads) sum += double(f(i));
  return block_reduce<Sum>(sum);
}

template <class F>
__global__ void __launch_bounds__(kSumThreads) sum_parts_kernel(double* parts, int64_t n, F f) {
  const int64_t begin = blockIdx.x * kSumPart, end = begin + kSumPart < n ? begin + kSumPart : n;
  const double sum = block_sum(begin, end, f);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

template <class F, class Finish>
__global__ void __launch_bounds__(kSumThreads) sum_kernel(int64_t n, F f, Finish finish) {
  const double sum = block_sum(0, n, f);
  if (threadIdx.x == 0) finish(sum);
}

/// Calls finish(sum_i f(i)), i in [0, n), with one thread of the device.
template <class F, class Finish>
void sum_all(int64_t n, F f, Finish finish) {
  if (n <= kSumPart) {
    LAUNCH((sum_kernel<F, Finish>), 1, kSumThreads, 0, stream(), n, f, finish);
    return;
  }
  const int64_t count = (n + kSumPart - 1) / kSumPart;
  const Scratch<double> partial(count);
  double* const parts = partial.data();
  LAUNCH((sum_parts_kernel<F>), unsigned(count), kSumThreads, 0, stream(), parts, n, f);
  const auto part = [=] ON_DEVICE(int64_t i) { return parts[i]; };
  LAUNCH((sum_kernel<decltype(part), Finish>), 1, kSumThreads, 0, stream(), count, part, finish);
}

}  // namespace rmoe::cuda
