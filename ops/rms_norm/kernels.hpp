#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

KERNEL(rms_norm_fwd, T* y, acc_t<T>* r, const T* x, const T* w, int64_t N, int64_t C, double eps);
KERNEL(add_rms_norm_fwd, T* sum, T* y, acc_t<T>* r, const T* x1, const T* x2, const T* w, int64_t N,
       int64_t C, double eps);
KERNEL(rms_norm_bwd_x, T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* r, int64_t N, int64_t C,
       double beta);
KERNEL(rms_norm_bwd_w, acc_t<T>* dw, const T* dy, const T* x, const acc_t<T>* r, int64_t N, int64_t C,
       double beta);

}  // namespace rmoe
