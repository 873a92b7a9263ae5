#pragma once

#include "ops/expert_dispatch/expert_dispatch.hpp"

namespace rmoe {

// y_n = sum_k g_nk w2_e (silu(w1_e x_n) * w3_e x_n),  e the expert of assignment (n, k), if not dropped
// x [N,C], routes, gates g [N,K], w1 and w3 [E,F,C], w2 [E,C,F] -> y [N,C]
// Shazeer 2020 (GLU Variants), eq. 6, for each expert of Shazeer et al. 2017.
// In general a composition of expert_dispatch, grouped_linear, swiglu and expert_combine, which keep what
// they keep. On a GPU in bf16 it is fused: rows are gathered while they are loaded, and backward keeps x, the
// gates and the two projections [M,2F] alone: h is computed again, to the same bits, and
// dg_nk = <h, w2_e^T dy_n> needs no expert's output.
Var swiglu_experts(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
                   const Var& w2);

}  // namespace rmoe
