#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// loss = E sum_e f_e p_e,  p_e = mean_n probs_ne
// probs [N,E], share f [E] in f64 -> []; 1 at perfect balance, 0 without tokens
// Fedus et al. 2021 (Switch Transformers), eq. 4-6, for top-K; the caller multiplies by the coefficient. f
// may be that of a whole batch of which probs is a part: the mean over equal parts is then the loss of the
// whole. Backward keeps f, which has no gradient; sums are fp32 at least.
Var load_balance(const Var& probs, const Tensor& share);

// f_e = the share of all assignments that went to expert e, from integer counts: exact in any order
// experts i32 [N,K] -> [E] in f64; zeros without tokens
// An expert outside [0, E) is an error; on a GPU it is counted nowhere.
// `all` is how many assignments there are, where `experts` holds a part of them; the parts' shares add up.
Tensor expert_share(const Tensor& experts, int64_t E, int64_t all);
inline Tensor expert_share(const Tensor& experts, int64_t E) {
  return expert_share(experts, E, experts.numel());
}

}  // namespace rmoe
