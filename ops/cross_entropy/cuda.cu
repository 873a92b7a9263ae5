// A block takes a row of logits and passes over it once in each direction: every thread keeps the maximum of
// what it has seen and the sum of exponentials above it. Exponentials and their sums are fp32; the
// log-sum-exp of a row, into which blocks of columns are folded one after another, is one number and stays in
// double, as the mean over rows does.
//
// A target outside the vocabulary ends the kernel: the host never looks at them.
#include "engine/cuda/refuse.cuh"
#include "engine/cuda/rows.cuh"
#include "engine/cuda/sum.cuh"
#include "ops/cross_entropy/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// sum of exp(x - most) over what was seen; the logarithm of nothing is -inf.
struct Seen {
  float most, sum;
};

DEVICE Seen both(Seen a, Seen b) {
  const float most = fmaxf(a.most, b.most);
  if (most == -INFINITY) return {most, a.sum + b.sum};  // nothing, or NaN, which must show
  return {most, a.sum * expf(a.most - most) + b.sum * expf(b.most - most)};
}

/// The same in every thread of the block.
DEVICE Seen block_seen(Seen mine) {
  const float most = block_reduce<Max>(mine.most);
  const float scale = most == -INFINITY ? 0.0f : expf(mine.most - most);
  return {most, block_reduce<Sum>(mine.sum * scale)};
}

template <int kWidth, class T>
DEVICE Seen see_row(const T* x, int64_t V) {
  Seen mine{-INFINITY, 0.0f};
  for (int64_t v = threadIdx.x * kWidth; v < V; v += kThreads * kWidth) {
    const Pack<T, kWidth> pack = load<kWidth>(x + v);
    Seen here{-INFINITY, 0.0f};
    UNROLL for (int j = 0; j < kWidth; ++j) here.most = fmaxf(here.most, to_float(pack.at[j]));
    const float shift = here.most == -INFINITY ? 0.0f : here.most;
    UNROLL for (int j = 0; j < kWidth; ++j) here.sum += expf(to_float(pack.at[j]) - shift);
    mine = both(mine, here);
  }
  return mine;
}

/// log(e^a + e^b)
DEVICE double add_logs(double a, double b) {
  const double most = a > b ? a : b;
  return most + log(exp(a - most) + exp(b - most));
}

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_fold_kernel(double* lse, double* target_logit, const T* x, const int32_t* targets,
                              int64_t first, int64_t V) {
  const int64_t n = blockIdx.x, target = targets[n];
  if (target == kNotCounted) return;
  const Seen row = block_seen(see_row<kWidth>(x + n * V, V));
  if (threadIdx.x != 0) return;
  const double here = double(row.most) + log(double(row.sum));
  lse[n] = first == 0 ? here : add_logs(lse[n], here);
  if (target >= first && target < first + V) target_logit[n] = double(to_float(x[n * V + target - first]));
}

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_bwd_kernel(T* dx, const float* dloss, const T* x, const int32_t* targets, const double* lse,
                             const double* counted, int64_t first, int64_t V, float beta) {
  const int64_t n = blockIdx.x;
  const bool counts = targets[n] != kNotCounted;
  const int64_t target = targets[n] - first;
  const float scale = counts ? float(double(*dloss) / *counted) : 0.0f;
  const float shift = counts ? float(lse[n]) : 0.0f;  // its rounding is that of a logit
  for (int64_t v = threadIdx.x * kWidth; v < V; v += kThreads * kWidth) {
    const Pack<T, kWidth> in = load<kWidth>(x + n * V + v);
    Pack<T, kWidth> out;
    if (beta != 0.0f) out = load<kWidth>(dx + n * V + v);
    UNROLL for (int j = 0; j < kWidth; ++j) {
      const float p = counts ? expf(to_float(in.at[j]) - shift) : 0.0f;
      put(out.at[j], scale * (p - (v + j == target ? 1.0f : 0.0f)), beta);
    }
    store(dx + n * V + v, out);
  }
}

}  // namespace

template <class T>
void cross_entropy_fold(double* lse, double* target_logit, const T* x, const int32_t* targets, int64_t first,
                        int64_t N, int64_t V) {
  using E = typename OnDevice<T>::type;
  constexpr int kWidth = widest_pack<T>();
  if (N == 0) return;
  if (in_packs(V, x))
    LAUNCH((cross_entropy_fold_kernel<kWidth, E>), unsigned(N), kThreads, 0, stream(), lse, target_logit,
           device_pointer(x), targets, first, V);
  else
    LAUNCH((cross_entropy_fold_kernel<1, E>), unsigned(N), kThreads, 0, stream(), lse, target_logit,
           device_pointer(x), targets, first, V);
}

template <class T>
void cross_entropy_mean(acc_t<T>* loss, double* counted, const double* lse, const double* target_logit,
                        const int32_t* targets, int64_t N, int64_t V) {
  const auto counts = [=] ON_DEVICE(int64_t n) {
    if (targets[n] < kNotCounted || targets[n] >= V)
      REFUSE("cross_entropy: target %d at position %lld is not in [0, %lld) and not -1", targets[n],
             (long long)n, (long long)V);
    return targets[n] == kNotCounted ? 0.0 : 1.0;
  };
  const auto loss_of = [=] ON_DEVICE(int64_t n) {
    return targets[n] == kNotCounted ? 0.0 : lse[n] - target_logit[n];
  };
  sum_all(N, counts, [=] ON_DEVICE(double count) { *counted = count; });
  sum_all(N, loss_of, [=] ON_DEVICE(double sum) { *loss = *counted == 0.0 ? 0.0f : float(sum / *counted); });
}

template <class T>
void cross_entropy_bwd(T* dx, const acc_t<T>* dloss, const T* x, const int32_t* targets, const double* lse,
                       const double* counted, int64_t first, int64_t N, int64_t V, double beta) {
  using E = typename OnDevice<T>::type;
  constexpr int kWidth = widest_pack<T>();
  if (N == 0) return;
  if (in_packs(V, x, dx))
    LAUNCH((cross_entropy_bwd_kernel<kWidth, E>), unsigned(N), kThreads, 0, stream(), device_pointer(dx),
           dloss, device_pointer(x), targets, lse, counted, first, V, float(beta));
  else
    LAUNCH((cross_entropy_bwd_kernel<1, E>), unsigned(N), kThreads, 0, stream(), device_pointer(dx), dloss,
           device_pointer(x), targets, lse, counted, first, V, float(beta));
}

#define RMOE_INSTANTIATE(T)                                                                             \
  template void cross_entropy_fold<T>(double*, double*, const T*, const int32_t*, int64_t, int64_t,     \
                                      int64_t);                                                         \
  template void cross_entropy_mean<T>(acc_t<T>*, double*, const double*, const double*, const int32_t*, \
                                      int64_t, int64_t);                                                \
  template void cross_entropy_bwd<T>(T*, const acc_t<T>*, const T*, const int32_t*, const double*,      \
                                     const double*, int64_t, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
