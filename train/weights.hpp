// Moving named tensors into a model: names and shapes must match exactly, and all offenders are listed at
// once.
#pragma once

#include "models/scope.hpp"
#include "train/safetensors.hpp"

namespace rmoe {

/// What a checkpoint holds of a model: the masters.
std::vector<NamedTensor> named_values(const Parameters& parameters);

struct NamedShape {
  std::string name;
  Shape shape;
};

/// The tensors of `source` in the order of `wanted`. One error lists every tensor that is missing, unknown or
/// of another shape. `what` says where `source` comes from.
std::vector<Tensor> find_all(const std::string& what, const std::vector<NamedShape>& wanted,
                             const std::vector<NamedTensor>& source);

/// Copies `source` into `target` by name (dtypes are converted), or changes nothing.
void assign(const std::string& what, const std::vector<NamedTensor>& target,
            const std::vector<NamedTensor>& source);
/// The same into the parameters of a model.
void assign(const std::string& what, const Parameters& target, const std::vector<NamedTensor>& source);

}  // namespace rmoe
