// Causal attention in fp32, for heads of any size: plain.cu.
#pragma once

#include "ops/causal_attention/kernels.hpp"

namespace rmoe::cuda::plain {

/// T as on the device; dq, dk and dv may be null.
template <class T>
void causal_fwd(T* o, float* lse, const T* q, const T* k, const T* v, const CausalSizes& n);
template <class T>
void causal_bwd(T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* o,
                const float* lse, const CausalSizes& n);

}  // namespace rmoe::cuda::plain
