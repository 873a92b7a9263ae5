// Moving named tensors into a model: names and shapes must match exactly, and all offenders are listed at
// once.
#pragma once

#include "models/scope.hpp"
#include "train/safetensors.hpp"

namespace rmoe {

/// What a checkpoint holds of a model: the masters.
std::vector<NamedTensor> named_values(const Parameters& parameters);

/// Copies `source` into `target` by name (dtypes are converted). One error lists every tensor that is
/// missing, unknown or of another shape; nothing is changed then. `what` says where `source` comes from.
void assign(const std::string& what, const std::vector<NamedTensor>& target,
            const std::vector<NamedTensor>& source);
/// The same into the parameters of a model.
void assign(const std::string& what, const Parameters& target, const std::vector<NamedTensor>& source);

}  // namespace rmoe
