#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

/// h = - sum_i p_i log p_i
KERNEL(entropy_fwd, double* h, const T* p, int64_t n);

}  // namespace rmoe
