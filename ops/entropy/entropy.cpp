#include "ops/entropy/entropy.hpp"

#include "engine/dispatch.hpp"
#include "ops/entropy/kernels.hpp"

namespace rmoe {

Tensor entropy(const Tensor& probs) {
  const Tensor h = empty_like(probs, {}, DType::f64);
  DISPATCH(probs, entropy_fwd, h, probs, probs.numel());
  return h;
}

}  // namespace rmoe
