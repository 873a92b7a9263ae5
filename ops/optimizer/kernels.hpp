#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

/// What an Adam step multiplies with, the same for every element.
struct AdamFactors {
  double grad;  // of the gradient, before anything else
  double l2;    // of the parameter, added to the gradient
  double keep;  // of the parameter, before the step
  double beta1, beta2;
  double step;  // lr / (1 - beta1^t)
  double root;  // of sqrt(v): 1 / sqrt(1 - beta2^t)
  double eps;
};

KERNEL(adam_step, T* p, acc_t<T>* m, acc_t<T>* v, const acc_t<T>* g, int64_t n, const AdamFactors& factors);

}  // namespace rmoe
