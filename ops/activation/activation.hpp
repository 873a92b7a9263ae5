#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// relu max(x, 0);  gelu x Phi(x);  sigmoid 1 / (1 + e^-x);  tanh;  silu x sigmoid(x)
// x [...] -> y [...]
// gelu: Hendrycks & Gimpel 2016, exact form, Phi by erf. silu: Elfwing et al. 2017. The slope of relu at 0 is
// 0. Backward of relu, sigmoid and tanh keeps y; of gelu and silu x.
Var relu(const Var& x);
Var gelu(const Var& x);
Var sigmoid(const Var& x);
Var tanh(const Var& x);
Var silu(const Var& x);

}  // namespace rmoe
