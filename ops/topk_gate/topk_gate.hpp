#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

struct Gate {
  Var probs;       // [N,E]
  Var weights;     // [N,K]
  Tensor experts;  // i32 [N,K], by descending logit
};

// p_ne = softmax_e(l_ne);  i_nk = expert of the k-th largest l_ne;  w_nk = p_n,i_nk, over sum_j p_n,i_nj if
// renormalised logits [N,E] -> probs [N,E], weights [N,K], experts [N,K] Shazeer et al. 2017, eq. 3 and 5,
// without the noise. Selected by logit: equal ones by the lower index, NaN last. Backward keeps probs,
// weights and experts; probabilities are fp32 at least.
Gate topk_gate(const Var& logits, int64_t K, bool renormalise = true);

}  // namespace rmoe
