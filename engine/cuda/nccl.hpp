// Collectives by NCCL. A weak symbol, as in backend.hpp: without the CUDA backend there is none.
#pragma once

#include "engine/comm/communicator.hpp"

namespace rmoe::cuda {

/// For all ranks of the store, each on the device that it has selected. Two ranks on one device are an Error
/// that names them.
[[gnu::weak]] std::unique_ptr<Communicator> make_nccl_communicator(Store& store);

}  // namespace rmoe::cuda
