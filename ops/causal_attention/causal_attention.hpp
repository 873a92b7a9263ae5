#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// o_bthd = sum_{s <= S-T+t} p_bhts v_bsgd,  p_bhts = softmax_s(q_bthd . k_bsgd / sqrt(D)),  g = h G / H
// q [B,T,H*D], k and v [B,S,G*D], S >= T: the queries are the last of S positions; G kv heads that divide the
// H heads -> o [B,T,H*D]
// Vaswani et al. 2017, eq. 1; computed by blocks of queries as in Dao et al. 2022; G < H: Ainslie et al.
// 2023. Backward keeps q, k, v, o and the log-sum-exp [B,H,T], and computes p again. FLOPs counted: the
// products over what a query sees that define value and gradients, not the second computation of p.
Var causal_attention(const Var& q, const Var& k, const Var& v, int64_t heads);

}  // namespace rmoe
