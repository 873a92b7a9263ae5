// Scalar functions of the activations, gates and cells.
#pragma once

#include "engine/cuda/device.cuh"

namespace rmoe::cuda {

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

}  // namespace rmoe::cuda
