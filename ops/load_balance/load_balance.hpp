#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// loss = E sum_e f_e p_e,  f_e = share of the N*K assignments that went to e,  p_e = mean_n probs_ne
// probs [N,E], experts i32 [N,K] -> []; 1 at perfect balance, 0 without tokens
// Fedus et al. 2021 (Switch Transformers), eq. 4-6, for top-K; the caller multiplies by the coefficient.
// Backward keeps f, which has no gradient; sums are fp32 at least.
Var load_balance(const Var& probs, const Tensor& experts);

}  // namespace rmoe
