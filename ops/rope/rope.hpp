#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_i = x_i cos a - x_j sin a,  y_j = x_j cos a + x_i sin a,  a = p theta^(-2i/D),  j = i + D/2
// x [B, T, H*D] -> y [B, T, H*D], D even; position p = first_position + t
// Su et al. 2021, eq. 34, but a pair is (i, i + D/2) of a head, as in Llama.
// Backward turns dy the other way and keeps nothing; the angles are computed in double.
Var rope(const Var& x, int64_t heads, double theta, int64_t first_position = 0);

}  // namespace rmoe
