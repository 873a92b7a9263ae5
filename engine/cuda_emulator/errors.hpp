// Errors as CUDA has them: a code for the caller, kept for cudaGetLastError, and a message of our own.
#pragma once

#include <cuda_runtime_api.h>
#include <stdexcept>
#include <string>

namespace rmoe::emulator {

/// Thrown out of a stream's operation when a kernel fails: the device is unusable from then on.
struct KernelError : std::runtime_error {
  KernelError(cudaError_t code_, const std::string& message) : std::runtime_error(message), code(code_) {}
  cudaError_t code;
};

/// Remembers error and message for this host thread; returns the error.
cudaError_t report(cudaError_t error, const std::string& message);

/// The same for libraries with codes of their own.
void explain(const std::string& message);

}  // namespace rmoe::emulator
