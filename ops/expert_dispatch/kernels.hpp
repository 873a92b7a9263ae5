#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

/// M assignments. Those to expert -1 are dropped: their slot is -1.
INTEGER_KERNEL(sort_by_expert, int32_t* offsets, int32_t* assignment, int32_t* slot, const int32_t* experts,
               int64_t M, int64_t E);
/// kept_i = experts_i, or -1 where the expert prefers `capacity` others.
KERNEL(limit_experts, int32_t* kept, const int32_t* experts, const T* probs, int64_t N, int64_t K, int64_t E,
       int64_t capacity);

KERNEL(expert_dispatch_fwd, T* y, const T* x, const int32_t* assignment, int64_t M, int64_t K, int64_t C);
KERNEL(expert_dispatch_bwd, T* dx, const T* dy, const int32_t* slot, int64_t N, int64_t K, int64_t C,
       double beta);

KERNEL(expert_combine_fwd, T* out, const T* y, const acc_t<T>* w, const int32_t* slot, int64_t N, int64_t K,
       int64_t C);
KERNEL(expert_combine_bwd_y, T* dy, const T* dout, const acc_t<T>* w, const int32_t* assignment, int64_t M,
       int64_t K, int64_t C, double beta);
KERNEL(expert_combine_bwd_w, acc_t<T>* dw, const T* dout, const T* y, const int32_t* slot, int64_t N,
       int64_t K, int64_t C, double beta);

}  // namespace rmoe
