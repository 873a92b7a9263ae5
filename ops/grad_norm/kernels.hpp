#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

struct GradSpan {
  const void* g;  // of T
  int64_t n;
};

/// norm = (sum over all elements of all grads of g^2)^1/2
KERNEL(grad_norm_fwd, double* norm, const GradSpan* grads, int64_t count);
/// norm = (sum of norms^2)^1/2
INTEGER_KERNEL(joined_norm_fwd, double* norm, const double* norms, int64_t count);
/// scale = 1 if most = 0 or norm <= most, else most / norm
INTEGER_KERNEL(clip_scale_fwd, double* scale, const double* norm, double most);

}  // namespace rmoe
