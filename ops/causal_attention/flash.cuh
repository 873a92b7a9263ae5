// Causal attention on tensor cores, bf16 with fp32 sums, for heads of at most kWidest: flash_forward.cu,
// flash_backward.cu. Dao 2023 (arXiv 2307.08691), algorithms 1 and 2, the latter without atomics.
#pragma once

#include "engine/cuda/device.cuh"
#include "ops/causal_attention/kernels.hpp"

namespace rmoe::cuda::flash {

constexpr int64_t kWidest = 128;

void causal_fwd(__nv_bfloat16* o, float* lse, const __nv_bfloat16* q, const __nv_bfloat16* k,
                const __nv_bfloat16* v, const CausalSizes& n);

/// dq, dk and dv may be null.
void causal_bwd(__nv_bfloat16* dq, __nv_bfloat16* dk, __nv_bfloat16* dv, const __nv_bfloat16* dy,
                const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v,
                const __nv_bfloat16* o, const float* lse, const CausalSizes& n);

}  // namespace rmoe::cuda::flash
