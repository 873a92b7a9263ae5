// Sums and maxima over a warp and over a block. Every thread gets the result; the order of additions is
// fixed.
#pragma once

#include "engine/cuda/device.cuh"

namespace rmoe::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kLanes = 32;

struct Sum {
  static constexpr float kNeutral = 0.0f;
  template <class V>
  static DEVICE V of(V a, V b) {
    return a + b;
  }
};
struct Max {
  static constexpr float kNeutral = -INFINITY;
  static DEVICE float of(float a, float b) { return fmaxf(a, b); }
};

template <class Operation, class V>
DEVICE V warp_reduce(V value) {
  UNROLL for (int bits = kLanes / 2; bits > 0; bits /= 2) value =
      Operation::of(value, __shfl_xor_sync(kAllLanes, value, bits));
  return value;
}

/// For one-dimensional blocks of whole warps.
template <class Operation, class V>
DEVICE V block_reduce(V value) {
  SHARED(V[kLanes], partial);
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes, warps = blockDim.x / kLanes;
  value = warp_reduce<Operation>(value);
  __syncthreads();  // the last reduction's partial values may still be read
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  return warp_reduce<Operation>(lane < warps ? partial[lane] : V(Operation::kNeutral));
}

}  // namespace rmoe::cuda
