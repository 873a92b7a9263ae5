#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_btc = a_btc for t < S, b_b,t-S,c from there on
// a [B, S, C], b [B, T, C] -> y [B, S+T, C]
// torch.cat along time: memory in front of the tokens.
// Backward keeps nothing; the gradient of each half is copied out only if it is wanted.
Var concat_time(const Var& a, const Var& b);

}  // namespace rmoe
