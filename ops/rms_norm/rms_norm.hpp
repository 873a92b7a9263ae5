#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_nc = x_nc r_n w_c,  r_n = (mean_c x_nc^2 + eps)^-1/2
// x [..., C], weight [C] -> y [..., C]
// Zhang & Sennrich 2019, eq. 4.
// Backward keeps x, weight and r; the statistics are fp32 at least.
Var rms_norm(const Var& x, const Var& weight, double eps);

}  // namespace rmoe
