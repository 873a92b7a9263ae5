// Span attention on the device: in fp32 for heads of any size (plain.cu), in bf16 on tensor cores for heads
// of at most kWidest (flash_*.cu).
#pragma once

#include "engine/cuda/device.cuh"
#include "ops/span_attention/kernels.hpp"

namespace rmoe::cuda {

/// What forward and backward read and write, T as on the device. Null: not wanted; no dropout for `mask`.
template <class T>
struct Span {
  T *o, *dq, *dk, *dv;
  float *lse, *dkey_pe;
  const T *q, *k, *v, *key_pe, *dy;
  const float2* statistics;  // [B,H,T]: lse, for tensor cores times log2(e), and sum_d dy o
  const uint32_t* mask;      // [B,H,T,mask_words]
  int64_t mask_words;
  SpanSizes n;
  float scale, keep;  // 1 / sqrt(D), 1 / (1 - dropout)
};

namespace plain {

template <class T>
void span_fwd(const Span<T>& span);
template <class T>
void span_bwd(const Span<T>& span, float beta);

}  // namespace plain

namespace flash {

constexpr int64_t kWidest = 48;  // 64 would spill

void span_fwd(const Span<__nv_bfloat16>& span);
void span_bwd(const Span<__nv_bfloat16>& span, float beta);

}  // namespace flash
}  // namespace rmoe::cuda
