// When a number stops being finite, training stops and says where it happened first.
#pragma once

#include "models/model.hpp"

namespace rmoe {

/// Repeats a forward pass whose loss was not finite and throws an Error naming the first bad tensor: a
/// parameter, a layer's router logits or output, the logits, or the loss. A rank whose model runs only
/// together with the others' may not repeat it: then the parameters or no tensor is named.
[[noreturn]] void explain_bad_forward(const Model& model, const Tensor& inputs, const Tensor& targets,
                                      const Memory& memory, Context context, bool may_repeat = true);

/// Throws an Error naming the first parameter whose gradient is not finite.
[[noreturn]] void explain_bad_gradient(const Model& model, int64_t step);

}  // namespace rmoe
