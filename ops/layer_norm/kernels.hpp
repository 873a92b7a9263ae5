#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

// Each gradient kernel computes into = beta * into + gradient, with beta 0 or 1.
KERNEL(layer_norm_fwd, T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x, const T* w, const T* b, int64_t N,
       int64_t C, double eps);
KERNEL(add_layer_norm_fwd, T* sum, T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x1, const T* x2, const T* w,
       const T* b, int64_t N, int64_t C, double eps);
KERNEL(layer_norm_bwd_x, T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* mean,
       const acc_t<T>* rstd, int64_t N, int64_t C, double beta);
KERNEL(layer_norm_bwd_w, acc_t<T>* dw, const T* dy, const T* x, const acc_t<T>* mean, const acc_t<T>* rstd,
       int64_t N, int64_t C, double beta);
KERNEL(layer_norm_bwd_b, acc_t<T>* db, const T* dy, int64_t N, int64_t C, double beta);

}  // namespace rmoe
