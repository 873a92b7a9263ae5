#include "engine/cuda/check.hpp"

#include "engine/error.hpp"

namespace rmoe::cuda {

void check(cudaError_t error, const char* call, const char* file, int line) {
  RMOE_CHECK(error == cudaSuccess, call, " at ", file, ":", line, ": ", cudaGetErrorName(error), ", ",
             cudaGetErrorString(error));
}

void check_launch(const char* kernel, const char* file, int line) {
  check(cudaGetLastError(), kernel, file, line);
}

}  // namespace rmoe::cuda
