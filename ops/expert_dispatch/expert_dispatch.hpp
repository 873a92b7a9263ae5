#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

/// Assignments of tokens to experts, sorted: rows [offsets[e], offsets[e+1]) belong to expert e. There are M
/// = N*K of them, less those that were dropped. A GPU does not tell the host how many were: there M is the
/// most that can be left, and rows behind offsets[E] are zeros of assignment -1, in gradients too.
struct Routes {
  Tensor offsets;     // i32 [E+1]
  Tensor assignment;  // i32 [M]: sorted row -> n*K+k
  Tensor slot;        // i32 [N,K]: n*K+k -> sorted row, -1 if dropped
  int64_t tokens, top_k, rows;
};

// offsets_e = #{i: expert_i < e},  slot_i = offsets_(expert_i) + #{j < i: expert_j = expert_i},  i = n*K+k
// experts i32 [N,K], each in [0, E) -> Routes
// Gale et al. 2022 (MegaBlocks): no token is dropped, nothing is padded. A stable counting sort.
// Integers only: no gradient. Experts may be empty; on meta only the shapes are made.
Routes sort_by_expert(const Tensor& experts, int64_t E);

// The same of the assignments (n, e) that are kept: every expert keeps the `capacity` of highest probs_ne
// experts i32 [N,K], probs [N,E] -> Routes
// Dai et al. 2024 (DeepSeekMoE), section 4.1.2, lowest scores first. Ties go to the lower token.
// Nothing is put in a dropped one's place. On meta and on a GPU there are as many rows as there can be:
// min(N*K, E*capacity).
Routes sort_by_expert(const Tensor& experts, int64_t E, const Tensor& probs, int64_t capacity);

/// ceil(factor * assignments / E), where a product that is whole but for its rounding counts as whole.
int64_t expert_capacity(double factor, int64_t assignments, int64_t E);

// y_mc = x_nc,  n = assignment_m / K
// x [N,C] -> y [M,C], rows grouped by expert
// Gale et al. 2022, the gather before the experts.
// Backward keeps the routes alone: dx_n = sum_k dy_slot(n,k), gathered, so the order of the sum is fixed.
// Dropped assignments have no row and take no gradient.
Var expert_dispatch(const Var& x, const Routes& routes);

// out_nc = sum_k w_nk y_slot(n,k),c, over the assignments that were not dropped
// y [M,C] grouped by expert, weights w [N,K] -> out [N,C]
// Gale et al. 2022, the weighted scatter behind the experts; gathered here.
// Backward keeps y, weights and the routes: dy_slot(n,k) = w_nk dout_n,  dw_nk = dout_n . y_slot(n,k).
Var expert_combine(const Var& y, const Var& weights, const Routes& routes);

}  // namespace rmoe
