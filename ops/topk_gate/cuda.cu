// A warp takes a token. The K largest are found one after another: of all that come after the last one in the
// order, the first. That order is total, so the choices are those of the CPU, bit for bit; logits decide, not
// the probabilities, which depend on a device's exp. fp32 only: a router is never bf16.
#include "engine/cuda/rows.cuh"
#include "ops/topk_gate/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// Descending, NaN last, ties by index.
DEVICE bool comes_first(float a, int a_index, float b, int b_index) {
  const bool a_nan = a != a, b_nan = b != b;
  if (a_nan != b_nan) return b_nan;
  return a == b || a_nan ? a_index < b_index : a > b;
}

struct Choice {
  float logit;
  int expert;  // E: none
};

/// The first in the order of all that come after `last`; every lane gets it.
DEVICE Choice next_choice(const float* x, int E, Choice last, int lane) {
  Choice best{NAN, E};
  for (int e = lane; e < E; e += kLanes)
    if (comes_first(last.logit, last.expert, x[e], e) && comes_first(x[e], e, best.logit, best.expert))
      best = {x[e], e};
  UNROLL for (int bits = kLanes / 2; bits > 0; bits /= 2) {
    const Choice other{__shfl_xor_sync(kAllLanes, best.logit, bits),
                       __shfl_xor_sync(kAllLanes, best.expert, bits)};
    if (comes_first(other.logit, other.expert, best.logit, best.expert)) best = other;
  }
  return best;
}

/// The chosen of one token, and the sum of their probabilities.
DEVICE float choose(int32_t* experts, float* weights, const float* x, const float* p, int E, int K,
                    int lane) {
  Choice last{INFINITY, -1};
  float sum = 0.0f;
  for (int k = 0; k < K; ++k) {
    last = next_choice(x, E, last, lane);
    sum += p[last.expert];
    if (lane != 0) continue;
    experts[k] = last.expert;
    weights[k] = p[last.expert];
  }
  return sum;
}

DEVICE void softmax_row(float* p, const float* x, int64_t E, int lane) {
  const float most = max_over_row(x, E, lane);
  const float sum = sum_over_row<1>(
      E, lane, [=](float logit) { return expf(logit - most); }, x);
  map_row<1>(
      p, E, lane, 0.0f, [=](float logit) { return expf(logit - most) / sum; }, x);
}

}  // namespace

template <class T>
void topk_gate_fwd(acc_t<T>* probs, acc_t<T>* weights, int32_t* experts, const T* logits, int64_t N,
                   int64_t E, int64_t K, bool renormalise) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    float *p = probs + n * E, *w = weights + n * K;
    softmax_row(p, logits + n * E, E, lane);
    __syncwarp();  // a chosen probability was written by another lane
    const float sum = choose(experts + n * K, w, logits + n * E, p, int(E), int(K), lane);
    __syncwarp();
    if (renormalise)
      for (int64_t k = lane; k < K; k += kLanes) w[k] /= sum;
  });
}

// Through probs: p_e (dp_e - sum_j p_j dp_j). Through weights: a softmax over the kept logits alone, or, if
// not renormalised, dw_k is one more part of dp.
template <class T>
void topk_gate_bwd(acc_t<T>* dlogits, const acc_t<T>* dprobs, const acc_t<T>* dweights, const acc_t<T>* probs,
                   const acc_t<T>* weights, const int32_t* experts, int64_t N, int64_t E, int64_t K,
                   bool renormalise, double beta) {
  const float kept = float(beta);
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const float *p = probs + n * E, *dp = dprobs + n * E, *w = weights + n * K, *dw = dweights + n * K;
    float* dx = dlogits + n * E;
    const auto product = [](float probability, float grad) { return probability * grad; };
    const float of_weights = sum_over_row<1>(K, lane, product, w, dw);
    const float of_probs = sum_over_row<1>(E, lane, product, p, dp);
    const float common = renormalise ? of_probs : of_probs + of_weights;
    map_row<1>(
        dx, E, lane, kept, [=](float probability, float grad) { return probability * (grad - common); }, p,
        dp);
    __syncwarp();  // what follows adds to what other lanes wrote
    for (int64_t k = lane; k < K; k += kLanes)
      dx[experts[n * K + k]] += w[k] * (renormalise ? dw[k] - of_weights : dw[k]);
  });
}

template void topk_gate_fwd<float>(float*, float*, int32_t*, const float*, int64_t, int64_t, int64_t, bool);
template void topk_gate_bwd<float>(float*, const float*, const float*, const float*, const float*,
                                   const int32_t*, int64_t, int64_t, int64_t, bool, double);

}  // namespace rmoe::cuda
