#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

KERNEL(sum_fwd, acc_t<T>* y, const T* x, int64_t n, double s);                 // y = s sum_i x_i
KERNEL(sum_bwd, T* dx, const acc_t<T>* dy, int64_t n, double s, double beta);  // dx_i = beta dx_i + s dy

}  // namespace rmoe
