// A stable sort of positions by a small integer key: a radix sort, eight bits a pass. Every warp owns a piece
// of neighbours: it counts their digits, a scan over all counts says where they go, and it walks through them
// again, 32 at a time, lanes of equal digits in their order. No result depends on the order in which warps
// run.
#pragma once

#include "engine/cuda/for_each.cuh"
#include "engine/cuda/warp.cuh"

namespace rmoe::cuda {

constexpr int kDigits = 256, kSortPiece = 1024;  // keys of a warp

DEVICE int digit_of(int32_t key, int shift) { return int(uint32_t(key) >> shift & (kDigits - 1)); }

/// counts [digit, piece]
static __global__ void __launch_bounds__(kLanes)
    count_digits_kernel(int32_t* counts, const int32_t* keys, int64_t N, int shift) {
  SHARED(int32_t[kDigits], count);
  for (int d = threadIdx.x; d < kDigits; d += kLanes) count[d] = 0;
  __syncwarp();
  const int64_t begin = int64_t(blockIdx.x) * kSortPiece,
                end = begin + kSortPiece < N ? begin + kSortPiece : N;
  for (int64_t i = begin + threadIdx.x; i < end; i += kLanes) atomicAdd(&count[digit_of(keys[i], shift)], 1);
  __syncwarp();
  for (int d = threadIdx.x; d < kDigits; d += kLanes) counts[int64_t(d) * gridDim.x + blockIdx.x] = count[d];
}

/// What a lane's value adds to, from the lanes below it.
DEVICE int32_t warp_sum_below(int32_t value, int lane) {
  int32_t sum = value;
  UNROLL for (int distance = 1; distance < kLanes; distance *= 2) {
    const int32_t below = __shfl_up_sync(kAllLanes, sum, distance);
    if (lane >= distance) sum += below;
  }
  return sum - value;
}

/// Turns counts into the sums of those before them; one block of kLanes warps.
static __global__ void __launch_bounds__(kLanes* kLanes) sum_before_kernel(int32_t* counts, int64_t n) {
  SHARED(int32_t[kLanes], of_warps);
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  int32_t before = 0;
  for (int64_t begin = 0; begin < n; begin += blockDim.x) {
    const int64_t i = begin + threadIdx.x;
    const int32_t count = i < n ? counts[i] : 0, below = warp_sum_below(count, lane);
    if (lane == kLanes - 1) of_warps[warp] = below + count;
    __syncthreads();
    const int32_t of_warp = of_warps[lane], below_warp = warp_sum_below(of_warp, lane);
    if (i < n) counts[i] = before + __shfl_sync(kAllLanes, below_warp, warp) + below;
    before += __shfl_sync(kAllLanes, below_warp + of_warp, kLanes - 1);
    __syncthreads();
  }
}

static __global__ void __launch_bounds__(kLanes)
    move_by_digit_kernel(int32_t* keys_to, int32_t* positions_to, const int32_t* starts, const int32_t* keys,
                         const int32_t* positions, int64_t N, int shift) {
  SHARED(int32_t[kDigits], next);
  const int lane = threadIdx.x;
  for (int d = lane; d < kDigits; d += kLanes) next[d] = starts[int64_t(d) * gridDim.x + blockIdx.x];
  __syncwarp();
  const int64_t piece = int64_t(blockIdx.x) * kSortPiece,
                end = piece + kSortPiece < N ? piece + kSortPiece : N;
  for (int64_t begin = piece; begin < end; begin += kLanes) {
    const int64_t i = begin + lane;
    const int digit = i < end ? digit_of(keys[i], shift) : kDigits;
    const unsigned equal = __match_any_sync(kAllLanes, unsigned(digit));
    const int below = __popc(equal & ((1u << lane) - 1));
    const int into = i < end ? next[digit] + below : 0;
    __syncwarp();
    if (i < end) {
      keys_to[into] = keys[i];
      positions_to[into] = positions ? positions[i] : int32_t(i);
      if (below == 0) next[digit] += __popc(equal);
    }
    __syncwarp();
  }
}

/// Keys in [0, most) and their positions, both sorted by key, equal keys in their order. Each buffer has room
/// for two copies [2, N]; where the result lies is returned: 0 for the first copy, N for the second.
inline int64_t sort_positions(int32_t* sorted, int32_t* positions, const int32_t* keys, int64_t N,
                              int64_t most) {
  const int64_t pieces = (N + kSortPiece - 1) / kSortPiece, cells = pieces * kDigits;
  if (N == 0) return 0;
  const Scratch<int32_t> counts(cells);
  int64_t from = N;  // so that the first pass writes into the first copy
  for (int shift = 0; shift == 0 || (most - 1) >> shift > 0; shift += 8) {
    const int32_t* const in = shift == 0 ? keys : sorted + from;
    const int32_t* const order = shift == 0 ? nullptr : positions + from;
    const int64_t into = N - from;
    LAUNCH(count_digits_kernel, unsigned(pieces), kLanes, 0, stream(), counts.data(), in, N, shift);
    LAUNCH(sum_before_kernel, 1, kLanes * kLanes, 0, stream(), counts.data(), cells);
    LAUNCH(move_by_digit_kernel, unsigned(pieces), kLanes, 0, stream(), sorted + into, positions + into,
           counts.data(), in, order, N, shift);
    from = into;
  }
  return from;
}

}  // namespace rmoe::cuda
