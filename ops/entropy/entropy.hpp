#pragma once

#include "engine/tensor.hpp"

namespace rmoe {

// h = - sum_ne p_ne log p_ne, in nats; 0 log 0 = 0
// probs p [N,E] -> h f64 []: of all rows together
// Shannon 1948. For reports: summed in double over fixed chunks, in order; no gradient.
Tensor entropy(const Tensor& probs);

}  // namespace rmoe
