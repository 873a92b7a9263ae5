#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_nf = sum_c x_nc w_fc + b_f
// x [..., C], weight [F, C], bias [F] or undefined -> y [..., F]
// torch.nn.Linear's convention. x may be bf16 beside an fp32 weight (a router's): y is fp32 then, as if x had
// been cast first, but backward keeps x as it is.
// Backward keeps x and weight; dw and db add straight into the parameters' buffers.
Var linear(const Var& x, const Var& weight, const Var& bias = {});

}  // namespace rmoe
