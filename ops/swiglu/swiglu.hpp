#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_i = silu(a_i) b_i,  silu(a) = a / (1 + e^-a)
// a, b and y of one shape
// Shazeer 2020 (GLU Variants), eq. 6, after its two linear maps.
// Backward keeps a and b; the sigmoid is computed again.
Var swiglu(const Var& a, const Var& b);

}  // namespace rmoe
