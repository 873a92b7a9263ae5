#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

// y = beta y + mask x / (1 - p): forward with beta = 0, and its own backward. row_index may be null.
KERNEL(dropout_into, T* y, const T* x, const int32_t* row_index, int64_t N, int64_t F, double p,
       uint64_t seed, uint64_t stream, int64_t offset, double beta);

}  // namespace rmoe
