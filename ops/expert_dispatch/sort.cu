// The assignments sorted by expert, without the host and without atomics: a stable counting sort in three
// kernels. Each block takes kItemsPerBlock assignments and each warp a run of them, so that the rank of an
// assignment among those of its expert is: earlier blocks, earlier warps, earlier steps of the warp, lower
// lanes. An expert outside [0, E) counts as dropped.
#include "engine/cuda/context.hpp"
#include "engine/cuda/device.cuh"
#include "engine/cuda/scratch.hpp"
#include "engine/cuda/warp.cuh"
#include "ops/expert_dispatch/kernels.hpp"

namespace rmoe::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kLanes, kSteps = 4;
constexpr int kItemsPerBlock = kThreads * kSteps, kScanThreads = 1024;
constexpr int kMostExperts = 1024;  // as the op checks

/// The assignments of one thread: expert E stands for none.
struct Ranked {
  int expert[kSteps], rank[kSteps];
};

DEVICE int64_t item_of_thread(int step) {
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  return int64_t(blockIdx.x) * kItemsPerBlock + (warp * kSteps + step) * kLanes + lane;
}

/// Ranks the warp's assignments among those of the same expert; counters [E] end as their numbers.
DEVICE Ranked rank_items(const int32_t* experts, int64_t M, int E, int* counters) {
  Ranked items;
  const unsigned below = (1u << threadIdx.x % kLanes) - 1;
  UNROLL for (int step = 0; step < kSteps; ++step) {
    const int64_t i = item_of_thread(step);
    const int e = i < M && experts[i] >= 0 && experts[i] < E ? experts[i] : E;
    const unsigned same = __match_any_sync(kAllLanes, unsigned(e));
    const int before = __popc(same & below), earlier = e < E ? counters[e] : 0;
    items.expert[step] = e;
    items.rank[step] = earlier + before;
    __syncwarp();
    if (e < E && before == 0) counters[e] = earlier + __popc(same);
    __syncwarp();
  }
  return items;
}

/// The same with the counters [kWarps, E] of the whole block, of which each warp gets its own.
DEVICE Ranked rank_block(const int32_t* experts, int64_t M, int E, int* counters) {
  for (int i = threadIdx.x; i < kWarps * E; i += kThreads) counters[i] = 0;
  __syncthreads();
  const Ranked items = rank_items(experts, M, E, counters + threadIdx.x / kLanes * E);
  __syncthreads();
  return items;
}

// counts_eb = assignments of block b to expert e
__global__ void __launch_bounds__(kThreads)
    count_kernel(int* counts, const int32_t* experts, int64_t M, int E) {
  DYN_SHARED(int, counters);  // [kWarps, E]
  rank_block(experts, M, E, counters);
  for (int e = threadIdx.x; e < E; e += kThreads) {
    int sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += counters[warp * E + e];
    counts[int64_t(e) * gridDim.x + blockIdx.x] = sum;
  }
}

DEVICE int inclusive_sum(int value) {
  const int lane = threadIdx.x % kLanes;
  UNROLL for (int distance = 1; distance < kLanes; distance *= 2) {
    const int lower = __shfl_up_sync(kAllLanes, value, distance);
    if (lane >= distance) value += lower;
  }
  return value;
}

/// to_i = first + the sum of from_j, j < i; returns first + the sum of all. To be called by a whole warp.
DEVICE int exclusive_sums(int* to, const int* from, int n, int first) {
  const int lane = threadIdx.x % kLanes;
  for (int begin = 0; begin < n; begin += kLanes) {
    const int i = begin + lane, value = i < n ? from[i] : 0, sum = inclusive_sum(value);
    if (i < n) to[i] = first + sum - value;
    first += __shfl_sync(kAllLanes, sum, kLanes - 1);
  }
  return first;
}

// One block. counts_eb becomes the first row of the assignments of block b to expert e.
__global__ void __launch_bounds__(kScanThreads)
    scan_kernel(int32_t* offsets, int* counts, int blocks, int E) {
  SHARED(int[kMostExperts], rows);
  SHARED(int[kMostExperts + 1], first_row);
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes, warps = kScanThreads / kLanes;
  for (int e = warp; e < E; e += warps) {
    int* mine = counts + int64_t(e) * blocks;
    const int sum = exclusive_sums(mine, mine, blocks, 0);
    if (lane == 0) rows[e] = sum;
  }
  __syncthreads();
  if (warp == 0) {
    const int all = exclusive_sums(first_row, rows, E, 0);
    if (lane == 0) first_row[E] = all;
  }
  __syncthreads();
  for (int e = threadIdx.x; e <= E; e += kScanThreads) offsets[e] = first_row[e];
  for (int e = warp; e < E; e += warps)
    for (int b = lane; b < blocks; b += kLanes) counts[int64_t(e) * blocks + b] += first_row[e];
}

__global__ void __launch_bounds__(kThreads)
    place_kernel(int32_t* assignment, int32_t* slot, const int32_t* offsets, const int* first_rows,
                 const int32_t* experts, int64_t M, int E) {
  DYN_SHARED(int, counters);  // [kWarps, E]
  const Ranked items = rank_block(experts, M, E, counters);
  for (int e = threadIdx.x; e < E; e += kThreads) {  // numbers become first rows
    int row = first_rows[int64_t(e) * gridDim.x + blockIdx.x];
    for (int warp = 0; warp < kWarps; ++warp) {
      const int count = counters[warp * E + e];
      counters[warp * E + e] = row;
      row += count;
    }
  }
  __syncthreads();
  const int* first = counters + threadIdx.x / kLanes * E;
  UNROLL for (int step = 0; step < kSteps; ++step) {
    const int64_t i = item_of_thread(step);
    if (i >= M) continue;
    const int e = items.expert[step], row = e < E ? first[e] + items.rank[step] : -1;
    slot[i] = row;
    if (row >= 0) assignment[row] = int32_t(i);
    if (i >= offsets[E]) assignment[i] = -1;  // a row that no assignment gets
  }
}

}  // namespace

void sort_by_expert(int32_t* offsets, int32_t* assignment, int32_t* slot, const int32_t* experts, int64_t M,
                    int64_t E) {
  const int blocks = int((M + kItemsPerBlock - 1) / kItemsPerBlock), shared = kWarps * int(E * sizeof(int));
  const Scratch<int> counts(E * blocks);
  if (blocks > 0) LAUNCH(count_kernel, blocks, kThreads, shared, stream(), counts.data(), experts, M, int(E));
  LAUNCH(scan_kernel, 1, kScanThreads, 0, stream(), offsets, counts.data(), blocks, int(E));
  if (blocks > 0)
    LAUNCH(place_kernel, blocks, kThreads, shared, stream(), assignment, slot, offsets, counts.data(),
           experts, M, int(E));
}

}  // namespace rmoe::cuda
