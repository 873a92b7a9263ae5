#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_i = a_i + b_i,  a_i - b_i,  a_i b_i,  s x_i
// a, b and y of one shape: nothing is broadcast
// Arithmetic; the names are torch's.
// Backward of mul keeps a and b, the others keep nothing; add passes dy on without a copy.
Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var scale(const Var& x, double s);

}  // namespace rmoe
