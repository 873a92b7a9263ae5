#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

// Each gradient kernel computes into = beta * into + gradient.
KERNEL(linear_fwd, T* y, const T* x, const T* w, const T* b, int64_t N, int64_t F, int64_t C);
KERNEL(linear_bwd_x, T* dx, const T* dy, const T* w, int64_t N, int64_t F, int64_t C, double beta);
KERNEL(linear_bwd_w, acc_t<T>* dw, const T* dy, const T* x, int64_t N, int64_t F, int64_t C, double beta);
KERNEL(linear_bwd_b, acc_t<T>* db, const T* dy, int64_t N, int64_t F, double beta);

}  // namespace rmoe
