#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// sum: y = sum_i x_i    mean: y = sum_i x_i / n
// x [...] of n elements -> y []; the mean of nothing is an error, its sum 0
// Arithmetic.
// Backward keeps nothing; sums are carried in double.
Var sum(const Var& x);
Var mean(const Var& x);

}  // namespace rmoe
