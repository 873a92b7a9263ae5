#pragma once

#include <cstdint>

namespace rmoe::cpu {

// Forward: y = f(x). Backward: dx = beta dx + dy f', with f' from y (relu, sigmoid, tanh) or x (gelu, silu).
template <class T>
void relu_fwd(T* y, const T* x, int64_t n);
template <class T>
void relu_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta);
template <class T>
void gelu_fwd(T* y, const T* x, int64_t n);
template <class T>
void gelu_bwd(T* dx, const T* dy, const T* x, int64_t n, double beta);
template <class T>
void sigmoid_fwd(T* y, const T* x, int64_t n);
template <class T>
void sigmoid_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta);
template <class T>
void tanh_fwd(T* y, const T* x, int64_t n);
template <class T>
void tanh_bwd(T* dx, const T* dy, const T* y, int64_t n, double beta);
template <class T>
void silu_fwd(T* y, const T* x, int64_t n);
template <class T>
void silu_bwd(T* dx, const T* dy, const T* x, int64_t n, double beta);

}  // namespace rmoe::cpu
