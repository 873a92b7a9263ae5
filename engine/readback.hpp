// Small results of a device, read by the host in one go: every reading waits for the device.
#pragma once

#include "engine/tensor.hpp"

namespace rmoe {

/// The values of all tensors, one after another; they are of one device. None of meta, where there are none.
std::vector<double> read_all(const std::vector<Tensor>& tensors);

}  // namespace rmoe
