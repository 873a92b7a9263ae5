#pragma once

#include "engine/tensor.hpp"

namespace rmoe {

struct AdamOptions {
  double lr;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  bool decoupled = true;  // AdamW: the weight shrinks by itself; else weight_decay * param joins the gradient
};

/// One parameter, tensors of one shape: fp32 in training, also where the model computes in bf16.
struct AdamParameter {
  Tensor value, grad, m, v;
  Tensor rounded =
      {};  // bf16: value again, as the model computes with it; undefined if it computes with value
  double weight_decay = 0;
};

// m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2,  p -= lr m / (1-b1^t) / (sqrt(v / (1-b2^t)) + eps)
// all parameters of one type and device; t = step; g = grad_scale grad, grad_scale f64 [] on the device
// Kingma & Ba 2015, alg. 1; Loshchilov & Hutter 2019, alg. 2; weight decay and bias correction as in torch.
// Works in place, one pass over everything, which writes `rounded` too; m and v start as zeros.
void adam_step(const std::vector<AdamParameter>& parameters, const AdamOptions& options, int64_t step,
               const Tensor& grad_scale);

}  // namespace rmoe
