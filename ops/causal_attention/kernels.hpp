#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

/// T queries, the last of S >= T positions; H heads of D, G of them with keys and values of their own.
struct CausalSizes {
  int64_t B, T, S, H, G, D;
};

KERNEL(causal_attention_fwd, T* o, acc_t<T>* lse, const T* q, const T* k, const T* v,
       const CausalSizes& size);

/// A null dq, dk or dv is not wanted.
KERNEL(causal_attention_bwd, T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* o,
       const acc_t<T>* lse, const CausalSizes& size);

}  // namespace rmoe
