#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// Per head, i < D/2, position p = first_position + t, angle a = p theta^(-2i/D):
//   y_i = x_i cos a - x_{i+D/2} sin a,  y_{i+D/2} = x_{i+D/2} cos a + x_i sin a
// x [B, T, H*D] -> y [B, T, H*D]. Su et al. 2021, eq. 34, with the two halves of a head as pairs (as in
// Llama). Backward turns dy the other way and keeps nothing; angles and their cosines are computed in double.
Var rope(const Var& x, int64_t heads, double theta, int64_t first_position = 0);

}  // namespace rmoe
