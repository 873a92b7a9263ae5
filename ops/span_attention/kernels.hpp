#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

struct SpanSizes {
  int64_t B, T, L, H, D;

  /// Words of a row of the dropout mask, one bit a slot.
  int64_t mask_words() const { return (L + 31) / 32; }
};

/// Dropout draws number offset + i of (seed, stream) for element i of [B,H,T,L] and leaves what it kept in
/// `mask` [B,H,T,mask_words], which is null without dropout.
KERNEL(span_attention_fwd, T* o, acc_t<T>* lse, int32_t* mask, const T* q, const T* k, const T* v,
       const T* key_pe, const SpanSizes& size, double dropout, uint64_t seed, uint64_t stream,
       int64_t offset);

/// A null dq, dk, dv or dkey_pe is not wanted; dkey_pe = beta dkey_pe + gradient. `mask` is null without
/// dropout.
KERNEL(span_attention_bwd, T* dq, T* dk, T* dv, acc_t<T>* dkey_pe, const T* dy, const T* q, const T* k,
       const T* v, const T* key_pe, const T* o, const acc_t<T>* lse, const int32_t* mask,
       const SpanSizes& size, double dropout, double beta);

}  // namespace rmoe
