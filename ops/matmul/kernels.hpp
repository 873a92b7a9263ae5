#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

// Each gradient kernel computes into = beta * into + gradient.
KERNEL(matmul_fwd, T* y, const T* a, const T* b, int64_t batch, int64_t M, int64_t N, int64_t K);
KERNEL(matmul_bwd_a, T* da, const T* dy, const T* b, int64_t batch, int64_t M, int64_t N, int64_t K,
       double beta);
KERNEL(matmul_bwd_b, T* db, const T* dy, const T* a, int64_t batch, int64_t M, int64_t N, int64_t K,
       double beta);

}  // namespace rmoe
