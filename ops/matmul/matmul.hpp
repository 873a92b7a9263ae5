#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_bmn = sum_k a_bmk b_bkn
// a [..., M, K], b [..., K, N] with equal leading dimensions -> y [..., M, N]
// torch.matmul without its broadcasting.
// Backward keeps a and b.
Var matmul(const Var& a, const Var& b);

}  // namespace rmoe
