#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

/// What an Adam step multiplies with, the same for every parameter.
struct AdamFactors {
  double beta1, beta2;
  double step;  // lr / (1 - beta1^t)
  double root;  // of sqrt(v): 1 / sqrt(1 - beta2^t)
  double eps;
};

/// One parameter: p, m, v and g are of T.
struct AdamSpan {
  void *p, *m, *v;
  const void* g;
  bf16* rounded;  // gets p in bf16; may be null
  int64_t n;
  double l2;    // times p is added to the gradient
  double keep;  // of p, before the step
};

/// Gradients are multiplied with *grad_scale, before anything else.
KERNEL(adam_step, const AdamSpan* spans, int64_t count, const AdamFactors& factors, const double* grad_scale);

}  // namespace rmoe
