#pragma once

#include <cstdint>

namespace rmoe::cpu {

template <class T>
void add_fwd(T* y, const T* a, const T* b, int64_t n);
template <class T>
void sub_fwd(T* y, const T* a, const T* b, int64_t n);

// y = beta y + a b and y = beta y + s x: forward with beta = 0, and their own backward.
template <class T>
void mul_into(T* y, const T* a, const T* b, int64_t n, double beta);
template <class T>
void scale_into(T* y, const T* x, double s, int64_t n, double beta);

}  // namespace rmoe::cpu
