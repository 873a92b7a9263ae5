#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

KERNEL(cosine_head_fwd, T* y, acc_t<T>* r, acc_t<T>* s, const T* f, const T* v, const T* tau, int64_t N,
       int64_t E, int64_t P);

/// What the three gradients share: g_ne = dy_ne r_n s_e / tau, and the sums of dy_ne y_ne over e and over n.
KERNEL(cosine_head_bwd, acc_t<T>* g, acc_t<T>* over_e, acc_t<T>* over_n, const acc_t<T>* dy, const T* y,
       const acc_t<T>* r, const acc_t<T>* s, const T* tau, int64_t N, int64_t E);

// Each computes into = beta * into + gradient.
KERNEL(cosine_head_bwd_f, acc_t<T>* df, const acc_t<T>* g, const acc_t<T>* over_e, const T* f, const T* v,
       const acc_t<T>* r, int64_t N, int64_t E, int64_t P, double beta);
KERNEL(cosine_head_bwd_v, acc_t<T>* dv, const acc_t<T>* g, const acc_t<T>* over_n, const T* f, const T* v,
       const acc_t<T>* s, int64_t N, int64_t E, int64_t P, double beta);
KERNEL(cosine_head_bwd_tau, acc_t<T>* dtau, const acc_t<T>* over_n, const T* tau, int64_t E, double beta);

}  // namespace rmoe
