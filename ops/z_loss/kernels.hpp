#pragma once

#include "engine/dtype.hpp"

namespace rmoe::cpu {

template <class T>
void z_loss_fwd(acc_t<T>* loss, double* lse, const T* logits, int64_t N, int64_t E);
template <class T>
void z_loss_bwd(T* dlogits, const acc_t<T>* dloss, const T* logits, const double* lse, int64_t N, int64_t E,
                double beta);

}  // namespace rmoe::cpu
