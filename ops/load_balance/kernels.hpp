#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

KERNEL(load_balance_fwd, T* loss, const T* probs, const double* share, int64_t N, int64_t E);
KERNEL(load_balance_bwd, acc_t<T>* dprobs, const acc_t<T>* dloss, const double* share, int64_t N, int64_t E,
       double beta);
/// M assignments of `all`
INTEGER_KERNEL(expert_share_fwd, double* share, const int32_t* experts, int64_t M, int64_t E, int64_t all);

}  // namespace rmoe
