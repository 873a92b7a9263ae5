// The device of this process: its stream, its library handles, its scratch memory. Made when first asked for.
#pragma once

#include <cstdint>
#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace rmoe::cuda {

/// Where all work of this process is enqueued.
cudaStream_t stream();

cublasLtHandle_t lt_handle();

/// Memory that one library call may use until the next one in the stream.
struct Workspace {
  void* data;
  size_t bytes;
};
Workspace workspace();

}  // namespace rmoe::cuda
