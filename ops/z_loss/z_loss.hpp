#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// loss = mean_n lse_n^2,  lse_n = log sum_e exp l_ne
// logits l [N,E] -> []; 0 without tokens
// Zoph et al. 2022 (ST-MoE), eq. 5: keeps a router's logits small; the caller multiplies by the coefficient.
// Backward keeps logits and lse [N] in double: dl_ne = 2 lse_n / N softmax_e(l_n). Sums are in double.
Var z_loss(const Var& logits);

}  // namespace rmoe
