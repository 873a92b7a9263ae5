#pragma once

#include "engine/dtype.hpp"
#include "engine/kernel.hpp"

namespace rmoe {

struct CausalSizes {
  int64_t B, T, H, G, D;
};

KERNEL(causal_attention_fwd, T* o, acc_t<T>* lse, const T* q, const T* k, const T* v,
       const CausalSizes& size);

/// A null dq, dk or dv is not wanted.
KERNEL(causal_attention_bwd, T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* o,
       const acc_t<T>* lse, const CausalSizes& size);

}  // namespace rmoe
