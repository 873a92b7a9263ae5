#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

// Forward: y = f(x). Backward: dx = beta dx + dy f', with f' from y (relu, sigmoid, tanh) or x (gelu, silu).
KERNEL(relu_fwd, T* y, const T* x, int64_t n);
KERNEL(relu_bwd, T* dx, const T* dy, const T* y, int64_t n, double beta);
KERNEL(gelu_fwd, T* y, const T* x, int64_t n);
KERNEL(gelu_bwd, T* dx, const T* dy, const T* x, int64_t n, double beta);
KERNEL(sigmoid_fwd, T* y, const T* x, int64_t n);
KERNEL(sigmoid_bwd, T* dx, const T* dy, const T* y, int64_t n, double beta);
KERNEL(tanh_fwd, T* y, const T* x, int64_t n);
KERNEL(tanh_bwd, T* dx, const T* dy, const T* y, int64_t n, double beta);
KERNEL(silu_fwd, T* y, const T* x, int64_t n);
KERNEL(silu_bwd, T* dx, const T* dy, const T* x, int64_t n, double beta);

}  // namespace rmoe
