#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

KERNEL(swiglu_fwd, T* y, const T* a, const T* b, int64_t n);
// into = beta into + gradient; da or db may be null.
KERNEL(swiglu_bwd, T* da, T* db, const T* dy, const T* a, const T* b, int64_t n, double beta_a,
       double beta_b);

}  // namespace rmoe
