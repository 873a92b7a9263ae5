#pragma once

#include "engine/dtype.hpp"

namespace rmoe::cpu {

template <class T>
void load_balance_fwd(T* loss, const T* probs, const double* share, int64_t N, int64_t E);
template <class T>
void load_balance_bwd(acc_t<T>* dprobs, const acc_t<T>* dloss, const double* share, int64_t N, int64_t E,
                      double beta);
/// M assignments
void expert_share_fwd(double* share, const int32_t* experts, int64_t M, int64_t E);

}  // namespace rmoe::cpu
