#pragma once

#include <cstdint>

namespace rmoe::cpu {

template <class T>
void softmax_fwd(T* y, const T* x, int64_t N, int64_t C);
template <class T>
void softmax_bwd(T* dx, const T* dy, const T* y, int64_t N, int64_t C, double beta);

}  // namespace rmoe::cpu
