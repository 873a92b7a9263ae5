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

// offsets_e = #{i: expert_i < e},  slot_i = offsets_(expert_i) + #{j < i: expert_j = expert_i},  i = n*K+k
// experts i32 [N,K], each in [0, E) -> Routes
// Gale et al. 2022 (MegaBlocks): no token is dropped, nothing is padded. A stable counting sort.
// Integers only: no gradient. Experts may be empty; on meta only the shapes are made.
Routes sort_by_expert(const Tensor& experts, int64_t E);

// y_mc = x_nc,  n = assignment_m / K
// x [N,C] -> y [M,C], rows grouped by expert
// Gale et al. 2022, the gather before the experts.
// Backward keeps the routes alone: dx_n = sum_k dy_slot(n,k), gathered, so the order of the sum is fixed.
Var expert_dispatch(const Var& x, const Routes& routes);

// out_nc = sum_k w_nk y_slot(n,k),c
// y [M,C] grouped by expert, weights w [N,K] -> out [N,C]
// Gale et al. 2022, the weighted scatter behind the experts; gathered here.
// Backward keeps y, weights and the routes: dy_slot(n,k) = w_nk dout_n,  dw_nk = dout_n . y_slot(n,k).
Var expert_combine(const Var& y, const Var& weights, const Routes& routes);

}  // namespace rmoe
