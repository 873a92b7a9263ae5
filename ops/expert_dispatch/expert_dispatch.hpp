#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

/// The M = N*K assignments of tokens to experts, sorted: rows [offsets[e], offsets[e+1]) belong to expert e.
struct Routes {
  Tensor offsets;     // i32 [E+1]
  Tensor assignment;  // i32 [M]: sorted row -> n*K+k
  Tensor slot;        // i32 [N,K]: n*K+k -> sorted row
  int64_t tokens, top_k, experts;
};

// offsets_e = #{i: experts_i < e},  slot_i = offsets_{experts_i} + #{j < i: experts_j = experts_i},
// assignment = slot^-1 experts i32 [N,K], below E -> the three tensors of Routes Gale et al. 2022
// (MegaBlocks), section 5: dropless, no padding. A stable counting sort; experts may be empty. Integers only:
// nothing to differentiate.
Routes sort_by_expert(const Tensor& experts, int64_t E);

// y_mc = x_nc,  n = assignment_m / K;  backward dx_nc = sum_k dy_{slot_nk, c}
// x [N,C] -> y [M,C], rows grouped by expert
// Gale et al. 2022, "padded gather" without the padding.
// Backward keeps the routes only, and gathers: no two tokens write to one place.
Var expert_dispatch(const Var& x, const Routes& routes);

// out_nc = sum_k w_nk y_{slot_nk, c};  backward dy_mc = w_nk dout_nc with n*K+k = assignment_m,  dw_nk =
// sum_c dout_nc y_{slot_nk, c} y [M,C], weights [N,K] -> out [N,C] Gale et al. 2022, "padded scatter" without
// the padding. Backward keeps y, weights and the routes; sums are fp32 at least.
Var expert_combine(const Var& y, const Var& weights, const Routes& routes);

}  // namespace rmoe
