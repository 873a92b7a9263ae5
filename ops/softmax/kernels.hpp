#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

KERNEL(softmax_fwd, T* y, const T* x, int64_t N, int64_t C);
KERNEL(softmax_bwd, T* dx, const T* dy, const T* y, int64_t N, int64_t C, double beta);

}  // namespace rmoe
