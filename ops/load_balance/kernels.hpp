#pragma once

#include "engine/dtype.hpp"

namespace rmoe::cpu {

template <class T>
void load_balance_fwd(T* loss, acc_t<T>* share, const T* probs, const int32_t* experts, int64_t N, int64_t K,
                      int64_t E);
template <class T>
void load_balance_bwd(acc_t<T>* dprobs, const acc_t<T>* dloss, const acc_t<T>* share, int64_t N, int64_t E,
                      double beta);

}  // namespace rmoe::cpu
