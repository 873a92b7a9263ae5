#pragma once

#include <cstdint>

namespace rmoe::cpu {

/// sum = sum_i g_i^2
template <class T>
void grad_norm_squares(double* sum, const T* g, int64_t n);

}  // namespace rmoe::cpu
