#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_nc = x_nc r_n w_c,  r_n = (mean_c x_nc^2 + eps)^-1/2
// x [..., C], weight [C] -> y [..., C]
// Zhang & Sennrich 2019, eq. 4.
// Backward keeps x, weight and r; the statistics are fp32 at least.
Var rms_norm(const Var& x, const Var& weight, double eps);

struct SumAndNorm {
  Var sum, y;
};

// sum_nc = x1_nc + x2_nc,  y = rms_norm(sum, weight, eps)
// x1 and x2 [..., C], weight [C] -> sum and y [..., C]
// A residual connection and the norm behind it: the bits of rms_norm(add(x1, x2)), one reading less.
// Backward keeps sum, weight and r. The gradient of x1 and x2 is one tensor: that of sum, added to in place.
SumAndNorm add_rms_norm(const Var& x1, const Var& x2, const Var& weight, double eps);

}  // namespace rmoe
