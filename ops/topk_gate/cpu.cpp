#include "engine/math.hpp"
#include "engine/parallel.hpp"
#include "ops/topk_gate/kernels.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 64;

template <class T>
void softmax(T* p, const T* x, int64_t E) {
  T most = x[0];
#pragma omp simd reduction(max : most)
  for (int64_t e = 0; e < E; ++e) most = most < x[e] ? x[e] : most;
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t e = 0; e < E; ++e) sum += p[e] = math::exp(x[e] - most);
  for (int64_t e = 0; e < E; ++e) p[e] /= sum;
}

template <class T>
bool above(T a, T b) {
  return a > b || (std::isnan(b) && !std::isnan(a));
}

/// The K largest of x, largest first. Logits are compared, not probabilities: those depend on the rounding of
/// a device's exp.
template <class T>
void select(int32_t* best, const T* x, int64_t E, int64_t K) {
  for (int64_t e = 0; e < E; ++e) {
    int64_t k = std::min(e, K);
    for (; k > 0 && above(x[e], x[best[k - 1]]); --k)
      if (k < K) best[k] = best[k - 1];
    if (k < K) best[k] = int32_t(e);
  }
}

}  // namespace

template <class T>
void topk_gate_fwd(acc_t<T>* probs, acc_t<T>* weights, int32_t* experts, const T* logits, int64_t N,
                   int64_t E, int64_t K, bool renormalise) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      T *p = probs + n * E, *w = weights + n * K, sum = 0;
      int32_t* best = experts + n * K;
      softmax(p, logits + n * E, E);
      select(best, logits + n * E, E, K);
      for (int64_t k = 0; k < K; ++k) sum += w[k] = p[best[k]];
      if (!renormalise) continue;
      for (int64_t k = 0; k < K; ++k) w[k] /= sum;
    }
  });
}

// Through probs: p_e (dp_e - sum_j p_j dp_j). Through weights: a softmax over the kept logits alone, or, if
// not renormalised, dw_k is one more part of dp.
template <class T>
void topk_gate_bwd(acc_t<T>* dlogits, const acc_t<T>* dprobs, const acc_t<T>* dweights, const acc_t<T>* probs,
                   const acc_t<T>* weights, const int32_t* experts, int64_t N, int64_t E, int64_t K,
                   bool renormalise, double beta) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T *p = probs + n * E, *dp = dprobs + n * E, *w = weights + n * K, *dw = dweights + n * K;
      T *dx = dlogits + n * E, of_probs = 0, of_weights = 0;
#pragma omp simd reduction(+ : of_probs)
      for (int64_t e = 0; e < E; ++e) of_probs += p[e] * dp[e];
      for (int64_t k = 0; k < K; ++k) of_weights += w[k] * dw[k];
      if (!renormalise) {
        of_probs += of_weights;
        of_weights = 0;
      }
      for (int64_t e = 0; e < E; ++e) {
        const T g = p[e] * (dp[e] - of_probs);
        dx[e] = beta == 0 ? g : dx[e] + g;
      }
      for (int64_t k = 0; k < K; ++k) dx[experts[n * K + k]] += w[k] * (dw[k] - of_weights);
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                                                  \
  template void topk_gate_fwd<T>(acc_t<T>*, acc_t<T>*, int32_t*, const T*, int64_t, int64_t, int64_t, bool); \
  template void topk_gate_bwd<T>(acc_t<T>*, const acc_t<T>*, const acc_t<T>*, const acc_t<T>*,               \
                                 const acc_t<T>*, const int32_t*, int64_t, int64_t, int64_t, bool, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
