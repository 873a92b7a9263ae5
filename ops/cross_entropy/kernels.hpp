#pragma once

#include "engine/dtype.hpp"

namespace rmoe::cpu {

template <class T>
void cross_entropy_fwd(acc_t<T>* loss, acc_t<T>* lse, const T* x, const int32_t* targets, int64_t N,
                       int64_t V);
/// dx = beta * dx + gradient, with beta 0 or 1; dloss points at one value
template <class T>
void cross_entropy_bwd(T* dx, const acc_t<T>* dloss, const T* x, const int32_t* targets, const acc_t<T>* lse,
                       int64_t N, int64_t V, double beta);

}  // namespace rmoe::cpu
