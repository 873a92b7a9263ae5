#pragma once

#include "engine/tensor.hpp"

namespace rmoe {

// norm = (sum over all elements of all tensors of g^2)^1/2, summed in double over fixed chunks, in order
// grads of any shapes, of one type and device; undefined ones (a parameter no gradient reached) count as
// zeros; norm f64 [], on that device Pascanu et al. 2013, section 3.2; as torch.nn.utils.clip_grad_norm_,
// without its 1e-6 in clip_scale. NaN and infinity come through: a norm that is not finite says that a
// gradient is not.
Tensor global_norm(const std::vector<Tensor>& grads);

/// The norm of all from the norms of its parts, f64 [n] -> f64 [].
Tensor joined_norm(const Tensor& norms);

/// The factor that brings gradients of norm `norm` down to at most `max_norm`, where the norm is: min(1,
/// max_norm / norm), NaN if norm is; max_norm = 0 switches clipping off.
Tensor clip_scale(const Tensor& norm, double max_norm);

}  // namespace rmoe
