#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_i = x_i, rounded to `dtype`: between the bf16 of a model on a GPU and the fp32 of its router and losses.
// x [...], y [...]; x itself if it has that type already
// Backward keeps nothing.
Var cast(const Var& x, DType dtype);

}  // namespace rmoe
