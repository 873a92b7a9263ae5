#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

KERNEL(concat_time_fwd, T* y, const T* a, const T* b, int64_t batch, int64_t time_a, int64_t time_b,
       int64_t width);
// dx [batch, time, width] = beta dx + the steps of dy [batch, total, width] from `first` on.
KERNEL(concat_time_bwd, T* dx, const T* dy, int64_t batch, int64_t time, int64_t total, int64_t first,
       int64_t width, double beta);

}  // namespace rmoe
