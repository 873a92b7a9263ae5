// fp32 only: a router is never bf16. Shares are [E], so double costs nothing.
#include "engine/cuda/for_each.cuh"
#include "engine/cuda/sum.cuh"
#include "ops/load_balance/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// A block for every expert: no atomics, and the list of choices stays in the second-level cache.
static __global__ void __launch_bounds__(kThreads)
    expert_share_kernel(double* share, const int32_t* experts, int64_t M, int64_t all) {
  const int expert = blockIdx.x;
  int count = 0;
  for (int64_t i = threadIdx.x; i < M; i += kThreads) count += experts[i] == expert;
  count = block_reduce<Sum>(count);
  if (threadIdx.x == 0) share[expert] = all == 0 ? 0.0 : double(count) / double(all);
}

}  // namespace

template <class T>
void load_balance_fwd(T* loss, const T* probs, const double* share, int64_t N, int64_t E) {
  const double scale = N == 0 ? 0.0 : double(E) / double(N);
  sum_all(
      N * E, [=] ON_DEVICE(int64_t i) { return share[i % E] * double(probs[i]); },
      [=] ON_DEVICE(double sum) { *loss = float(scale * sum); });
}

template <class T>
void load_balance_bwd(acc_t<T>* dprobs, const acc_t<T>* dloss, const double* share, int64_t N, int64_t E,
                      double beta) {
  const float scale = float(E) / float(N), kept = float(beta);
  for_each(N * E, [=] ON_DEVICE(int64_t i) { put(dprobs[i], *dloss * scale * float(share[i % E]), kept); });
}

void expert_share_fwd(double* share, const int32_t* experts, int64_t M, int64_t E, int64_t all) {
  if (E > 0) LAUNCH(expert_share_kernel, unsigned(E), kThreads, 0, stream(), share, experts, M, all);
}

template void load_balance_fwd<float>(float*, const float*, const double*, int64_t, int64_t);
template void load_balance_bwd<float>(float*, const float*, const double*, int64_t, int64_t, double);

}  // namespace rmoe::cuda
