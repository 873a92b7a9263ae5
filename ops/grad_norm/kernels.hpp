#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

/// sum = sum_i g_i^2
KERNEL(grad_norm_squares, double* sum, const T* g, int64_t n);

}  // namespace rmoe
