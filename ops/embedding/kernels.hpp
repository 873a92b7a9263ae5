#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

KERNEL(embedding_fwd, T* y, const int32_t* tokens, const T* w, int64_t N, int64_t V, int64_t C);
/// dw = beta * dw + gradient, with beta 0 or 1
KERNEL(embedding_bwd, acc_t<T>* dw, const T* dy, const int32_t* tokens, int64_t N, int64_t V, int64_t C,
       double beta);

}  // namespace rmoe
