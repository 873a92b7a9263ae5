#pragma once

#include "engine/kernel.hpp"
#include "engine/random.hpp"

namespace rmoe {

struct SpanSizes {
  int64_t B, T, L, H, D;
};

KERNEL(span_attention_fwd, T* o, acc_t<T>* lse, const T* q, const T* k, const T* v, const T* key_pe,
       const SpanSizes& size, double dropout, const RandomStream& random);

/// A null dq, dk, dv or dkey_pe is not wanted; dkey_pe = beta dkey_pe + gradient.
KERNEL(span_attention_bwd, T* dq, T* dk, T* dv, T* dkey_pe, const T* dy, const T* q, const T* k, const T* v,
       const T* key_pe, const T* o, const acc_t<T>* lse, const SpanSizes& size, double dropout,
       const RandomStream& random, double beta);

}  // namespace rmoe
