#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

KERNEL(z_loss_fwd, acc_t<T>* loss, double* lse, const T* logits, int64_t N, int64_t E);
KERNEL(z_loss_bwd, T* dlogits, const acc_t<T>* dloss, const T* logits, const double* lse, int64_t N,
       int64_t E, double beta);

}  // namespace rmoe
