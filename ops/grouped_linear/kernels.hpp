#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

// Each gradient kernel computes into = beta * into + gradient. Rows of y behind offsets[E] are zero, of dx
// beta dx.
KERNEL(grouped_linear_fwd, T* y, const T* x, const T* w, const T* b, const int32_t* offsets, int64_t M,
       int64_t E, int64_t F, int64_t C);
KERNEL(grouped_linear_bwd_x, T* dx, const T* dy, const T* w, const int32_t* offsets, int64_t M, int64_t E,
       int64_t F, int64_t C, double beta);
KERNEL(grouped_linear_bwd_w, acc_t<T>* dw, const T* dy, const T* x, const int32_t* offsets, int64_t E,
       int64_t F, int64_t C, double beta);
KERNEL(grouped_linear_bwd_b, acc_t<T>* db, const T* dy, const int32_t* offsets, int64_t E, int64_t F,
       double beta);

}  // namespace rmoe
