// What every expert keeps under a capacity. One block per expert finds the capacity-th highest of its scores
// by radix selection, eight bits of the score at a time, then keeps what lies above it and of what equals it
// the first ones in order of assignment. Counters are integers: atomics do not change what comes out.
#include "engine/cuda/context.hpp"
#include "engine/cuda/for_each.cuh"
#include "engine/cuda/warp.cuh"
#include "ops/expert_dispatch/kernels.hpp"

namespace rmoe::cuda {
namespace {

constexpr int kLimitThreads = 512, kWarps = kLimitThreads / kLanes, kDigits = 256;

/// Numbers in the order of the scores: negative ones complemented, -0 as 0, NaN below all.
DEVICE unsigned key_of(float score) {
  if (score != score) return 0;
  const unsigned bits = __float_as_uint(score + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/// What block e looks at: assignment i is its own if experts_i = e.
template <class T>
struct Scores {
  const int32_t* experts;
  const T* probs;
  int assignments, K, E;

  DEVICE bool is_mine(int i) const { return experts[i] == int(blockIdx.x); }
  DEVICE unsigned key(int i) const { return key_of(to_float(probs[int64_t(i / K) * E + blockIdx.x])); }
};

/// digits_d = own assignments whose key begins with `prefix` above the digit at `shift` and has d there.
template <class T>
DEVICE void count_digits(int (&digits)[kDigits], const Scores<T>& scores, unsigned prefix, int shift) {
  for (int d = threadIdx.x; d < kDigits; d += kLimitThreads) digits[d] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < scores.assignments; i += kLimitThreads) {
    if (!scores.is_mine(i)) continue;
    const unsigned key = scores.key(i);
    if (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8))
      atomicAdd(&digits[key >> shift & (kDigits - 1)], 1);
  }
  __syncthreads();
}

/// The key that `left` own ones are at or above, and how many of those that equal it belong to them. A
/// capacity that is never reached ends at key 0 with more left than there are.
struct Threshold {
  unsigned key;
  int left;
};

template <class T>
DEVICE Threshold find_threshold(const Scores<T>& scores, int capacity) {
  SHARED(int[kDigits], digits);
  SHARED(Threshold, found);
  Threshold threshold{0, capacity};
  for (int shift = 24; shift >= 0; shift -= 8) {
    count_digits(digits, scores, threshold.key, shift);
    if (threadIdx.x == 0) {
      int d = kDigits - 1;
      for (; d > 0 && digits[d] < threshold.left; --d) threshold.left -= digits[d];
      found = {threshold.key | unsigned(d) << shift, threshold.left};
    }
    __syncthreads();
    threshold = found;
    __syncthreads();
  }
  return threshold;
}

/// How many threads of the block before this one say so; `all` is how many do at all.
DEVICE int votes_before(bool vote, int& all) {
  SHARED(int[kWarps], votes);
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  const unsigned ballot = __ballot_sync(kAllLanes, vote);
  __syncthreads();  // the last call's votes may still be read
  if (lane == 0) votes[warp] = __popc(ballot);
  __syncthreads();
  int before = __popc(ballot & ((1u << lane) - 1));
  all = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += votes[w];
    all += votes[w];
  }
  return before;
}

template <class T>
__global__ void __launch_bounds__(kLimitThreads) limit_kernel(int32_t* kept, Scores<T> scores, int capacity) {
  const Threshold threshold = find_threshold(scores, capacity);
  int equal = 0;  // of the assignments before `begin`
  for (int begin = 0; begin < scores.assignments; begin += kLimitThreads) {
    const int i = begin + threadIdx.x;
    const bool mine = i < scores.assignments && scores.is_mine(i);
    const unsigned key = mine ? scores.key(i) : 0;
    int equal_here = 0;
    const int before = equal + votes_before(mine && key == threshold.key, equal_here);
    const bool keeps = key > threshold.key || (key == threshold.key && before < threshold.left);
    if (mine) kept[i] = keeps ? int(blockIdx.x) : -1;
    equal += equal_here;
  }
}

}  // namespace

template <class T>
void limit_experts(int32_t* kept, const int32_t* experts, const T* probs, int64_t N, int64_t K, int64_t E,
                   int64_t capacity) {
  using Score = typename OnDevice<T>::type;
  if (N * K == 0) return;
  for_each(N * K, [=] ON_DEVICE(int64_t i) { kept[i] = -1; });  // also of an expert outside [0, E)
  const int limit = int(capacity < N * K ? capacity : N * K);
  LAUNCH((limit_kernel<Score>), int(E), kLimitThreads, 0, stream(), kept,
         Scores<Score>{experts, device_pointer(probs), int(N * K), int(K), int(E)}, limit);
}

template void limit_experts<float>(int32_t*, const int32_t*, const float*, int64_t, int64_t, int64_t,
                                   int64_t);

}  // namespace rmoe::cuda
