#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

KERNEL(add_fwd, T* y, const T* a, const T* b, int64_t n);
KERNEL(sub_fwd, T* y, const T* a, const T* b, int64_t n);

// y = beta y + a b and y = beta y + s x: forward with beta = 0, and their own backward.
KERNEL(mul_into, T* y, const T* a, const T* b, int64_t n, double beta);
KERNEL(scale_into, T* y, const T* x, double s, int64_t n, double beta);

}  // namespace rmoe
