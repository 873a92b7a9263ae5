// Orthogonal starting values (Saxe et al. 2013).
#pragma once

#include "engine/tensor.hpp"

#include <cstdint>

namespace rmoe {

/// dst [R,C] <- gain * Q, where the rows of Q are orthonormal if R <= C, else its columns: Gram-Schmidt over
/// the normal numbers of the stream, in double. Host memory only.
void fill_orthogonal(const Tensor& dst, double gain, uint64_t seed, uint64_t stream);

}  // namespace rmoe
