#pragma once

#include "autograd/tape.hpp"
#include "engine/random.hpp"

namespace rmoe {

// o_bthd = sum_j m_bhtj p_bhtj v_b(t+j)hd,  p_bhtj = softmax_j(q_bthd . (k_b(t+j)hd + key_pe_dj) / sqrt(D)),
// j < L q [B,T,H*D], k and v [B,L+T,H*D] (memory first: query t sits at position L+t), key_pe [D,L] -> o
// [B,T,H*D] Sukhbaatar et al. 2019, section 2, with a fixed span: slot 0 is farthest, the query's own
// position is not attended. m is dropout: number random.offset + ((b H + h) T + t) L + j keeps slot j, scaled
// by 1 / (1 - dropout), if it is at least `dropout`. Backward keeps q, k, v, key_pe, o, the log-sum-exp
// [B,H,T] and m (one bit a slot), and computes p again. FLOPs counted: the products over the band that define
// value and gradients, not the second computation of p.
Var span_attention(const Var& q, const Var& k, const Var& v, const Var& key_pe, int64_t heads, double dropout,
                   const RandomStream& random);

}  // namespace rmoe
