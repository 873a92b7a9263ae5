// The parameters of a llama under the names they have at Hugging Face. Every tensor there is a run of rows of
// one of ours (an expert of the stack, a gate of the fused cell), so the list below is made of views: reading
// them exports a model, writing into them imports one.
#pragma once

#include "models/model.hpp"
#include "train/safetensors.hpp"

namespace rmoe::interchange {

/// The model may be on Device::meta. Its architecture must have been checked (architecture.hpp).
std::vector<NamedTensor> hugging_face_views(const Model& model);

}  // namespace rmoe::interchange
