// Errors of the CUDA runtime and its libraries, as this program's errors.
#pragma once

#include <cuda_runtime_api.h>

namespace rmoe::cuda {

/// Throws if `error` is one, naming the call and its place.
void check(cudaError_t error, const char* call, const char* file, int line);

}  // namespace rmoe::cuda

#define CUDA_CHECK(call) ::rmoe::cuda::check((call), #call, __FILE__, __LINE__)
