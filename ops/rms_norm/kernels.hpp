#pragma once

#include "engine/dtype.hpp"

namespace rmoe::cpu {

template <class T>
void rms_norm_fwd(T* y, acc_t<T>* r, const T* x, const T* w, int64_t N, int64_t C, double eps);
template <class T>
void rms_norm_bwd_x(T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* r, int64_t N, int64_t C,
                    double beta);
template <class T>
void rms_norm_bwd_w(T* dw, const T* dy, const T* x, const acc_t<T>* r, int64_t N, int64_t C, double beta);

}  // namespace rmoe::cpu
