#pragma once

#include "autograd/tape.hpp"
#include "engine/random.hpp"

namespace rmoe {

// y_nj = x_nj / (1 - p) if u(offset + r_n F + j) >= p, else 0;  r_n = n, or row_index_n if given
// x [..., F] of N rows, row_index i32 [N] or undefined -> y [..., F];  u = uniform_at(seed, stream, .)
// Srivastava et al. 2014, scaled while training. p = 0 is x itself.
// Backward keeps row_index alone and draws the same numbers again.
Var dropout(const Var& x, double p, const RandomStream& random, const Tensor& row_index = {});

}  // namespace rmoe
