#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

KERNEL(rope_fwd, T* y, const T* x, int64_t B, int64_t time, int64_t H, int64_t D, double theta,
       int64_t first);
/// dx = beta * dx + gradient, with beta 0 or 1
KERNEL(rope_bwd, T* dx, const T* dy, int64_t B, int64_t time, int64_t H, int64_t D, double theta,
       int64_t first, double beta);

}  // namespace rmoe
