#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_nc = exp(x_nc - m_n) / sum_j exp(x_nj - m_n),  m_n = max_c x_nc
// x [..., C] -> y [..., C]
// Bridle 1990; the shift by m is for range alone. x_nc = -inf gives 0.
// Backward keeps y; sums are fp32 at least.
Var softmax(const Var& x);

}  // namespace rmoe
