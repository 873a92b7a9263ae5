#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_nc = (x_nc - mean_n) rstd_n w_c + b_c,  rstd_n = (mean_c (x_nc - mean_n)^2 + eps)^-1/2
// x [..., C], weight [C], bias [C] -> y [..., C]
// Ba, Kiros & Hinton 2016, eq. 4.
// Backward keeps x, weight, mean and rstd [N]; the statistics are fp32 at least.
Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps);

// y = layer_norm(sum, weight, bias, eps),  sum_nc = x1_nc + x2_nc
// x1 and x2 [..., C], weight [C], bias [C] -> y [..., C]
// A residual connection and the norm behind it: the bits of layer_norm(add(x1, x2)), one reading less.
// Backward keeps sum, weight, mean and rstd. The gradient of x1 and x2 is one tensor.
Var add_layer_norm(const Var& x1, const Var& x2, const Var& weight, const Var& bias, double eps);

}  // namespace rmoe
