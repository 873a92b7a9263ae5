#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_mf = sum_c x_mc w_efc + b_ef  for the rows m of expert e: offsets_e <= m < offsets_{e+1}
// x [M,C] grouped by expert, weight [E,F,C], bias [E,F] or undefined, offsets i32 [E+1] -> y [M,F]
// Gale et al. 2022 (MegaBlocks): one linear layer per expert, groups of any size.
// Backward keeps x and weight; dw and db add straight into the parameters' buffers, 0 for an empty group.
Var grouped_linear(const Var& x, const Var& weight, const Var& bias, const Tensor& offsets);

}  // namespace rmoe
