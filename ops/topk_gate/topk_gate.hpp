#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

struct Gate {
  Var probs;       // [N,E]
  Var weights;     // [N,K]
  Tensor experts;  // i32 [N,K], by descending probability
};

// p_ne = softmax_e(l_ne);  w_nk = the k-th largest p_ne, over the sum of the K largest if renormalised
// logits l [N,E] -> probs p [N,E], weights w [N,K], experts [N,K]: where the weights come from
// Shazeer et al. 2017, eq. 3 and 5, without noise. The logits decide: ties to the lower index, NaN last.
// Backward keeps probs, weights and experts; probabilities are fp32 at least.
Gate topk_gate(const Var& logits, int64_t K, bool renormalise = true);

}  // namespace rmoe
