#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_nc = w_{token_n, c};  backward: dw_vc = sum over the n with token_n = v of dy_nc, n rising
// tokens i32 [...], weight [V, C] -> y [..., C]
// torch.nn.Embedding's convention. A token outside [0, V) is an error; on a GPU it ends the kernel.
// Backward keeps the tokens; dw adds straight into the parameter's buffer, only rows that occur are touched.
Var embedding(const Tensor& tokens, const Var& weight);

}  // namespace rmoe
