// Span attention in fp32, for heads of any size: plain.cu.
#pragma once

#include "ops/span_attention/kernels.hpp"

namespace rmoe::cuda::plain {

/// What forward and backward read and write, T as on the device. Null: not wanted; no dropout for `mask`.
template <class T>
struct Span {
  T *o, *dq, *dk, *dv;
  float *lse, *dkey_pe;
  const T *q, *k, *v, *key_pe, *dy;
  const float* delta;  // [B,H,T]: sum_d dy o
  const uint32_t* mask;
  int64_t mask_words;
  SpanSizes n;
  float scale, keep;  // 1 / sqrt(D), 1 / (1 - dropout)
};

template <class T>
void span_fwd(const Span<T>& span);
template <class T>
void span_bwd(const Span<T>& span, float beta);

}  // namespace rmoe::cuda::plain
