#pragma once

#include "engine/random.hpp"
#include "ops/expert_dispatch/expert_dispatch.hpp"

namespace rmoe {

// Each op is in general a composition of expert_dispatch, grouped_linear, the activation and expert_combine,
// which keep what they keep. Fused, rows are gathered while they are read, and backward keeps little: on the
// CPU in fp32 and double, and on a GPU in bf16 if F and C are multiples of eight. h is computed again where
// it is not kept, to the same bits, and dg_nk = <h, w2_e^T dy_n> (+ <b2_e, dy_n>) needs no expert's output.

// y_n = sum_k g_nk w2_e (silu(w1_e x_n) * w3_e x_n),  e the expert of assignment (n, k), if not dropped
// x [N,C], routes, gates g [N,K], w1 and w3 [E,F,C], w2 [E,C,F] -> y [N,C]
// Shazeer 2020 (GLU Variants), eq. 6, for each expert of Shazeer et al. 2017.
// Fused, backward keeps x, the gates and the two projections [M,2F].
Var swiglu_experts(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
                   const Var& w2);

// y_n = sum_k g_nk (w2_e dropout(relu(w1_e x_n + b1_e)) + b2_e),  e as above
// x [N,C], routes, gates g [N,K], w1 [E,F,C], b1 [E,F], w2 [E,C,F], b2 [E,C] -> y [N,C]
// Shazeer et al. 2017, with dropout as ops/dropout has it: that of hidden unit f of assignment i uses number
// i F + f of the stream, wherever its row is sorted to. p = 0 drops nothing.
// Fused, backward keeps x, the gates and the hidden units [M,F], which are 0 where either gave 0.
Var relu_experts(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& b1,
                 const Var& w2, const Var& b2, double p, const RandomStream& random);

}  // namespace rmoe
