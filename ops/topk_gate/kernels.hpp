#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

KERNEL(topk_gate_fwd, acc_t<T>* probs, acc_t<T>* weights, int32_t* experts, const T* logits, int64_t N,
       int64_t E, int64_t K, bool renormalise);
KERNEL(topk_gate_bwd, acc_t<T>* dlogits, const acc_t<T>* dprobs, const acc_t<T>* dweights,
       const acc_t<T>* probs, const acc_t<T>* weights, const int32_t* experts, int64_t N, int64_t E,
       int64_t K, bool renormalise, double beta);

}  // namespace rmoe
