#pragma once

#include "engine/tensor.hpp"

namespace rmoe {

struct AdamOptions {
  double lr;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = true;  // AdamW: the weight shrinks by itself; else weight_decay * param joins the gradient
};

// m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2,  p -= lr m / (1-b1^t) / (sqrt(v / (1-b2^t)) + eps)
// param p, grad, m, v of one shape, all but p in its accumulation type; t = step, g = grad_scale grad
// Kingma & Ba 2015, alg. 1; Loshchilov & Hutter 2019, alg. 2; weight decay and bias correction as in torch.
// Works in place, one pass over the four tensors; m and v start as zeros.
void adam_step(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v,
               const AdamOptions& options, int64_t step, double grad_scale = 1);

}  // namespace rmoe
