#include "engine/cuda/context.hpp"

#include "engine/cuda/backend.hpp"
#include "engine/cuda/check.hpp"
#include "engine/error.hpp"
#include "engine/rehearsal.hpp"

#include <cstring>

namespace rmoe::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32}
                                   << 20;  // what cuBLAS recommends on sm_90; less is enough on sm_80

constexpr size_t kStagingBytes = size_t{16} << 20;

struct Context {
  cudaStream_t stream = nullptr;
  cublasLtHandle_t lt = nullptr;
  void* workspace = nullptr;
  /// Pinned memory: what the host hands over waits here until the device takes it, and the host goes on.
  char* staging = nullptr;
  size_t staged = 0;  // bytes, since the host last waited for the device

  Context() {
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    RMOE_CHECK(cublasLtCreate(&lt) == CUBLAS_STATUS_SUCCESS, "cuda: cuBLASLt does not start on this device");
    CUDA_CHECK(cudaMalloc(&workspace, kWorkspaceBytes));
    CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&staging), kStagingBytes));
  }
};

/// Never destroyed: tensors in static storage may outlive it, and the driver frees everything at exit.
Context& context() {
  static Context* instance = new Context;
  return *instance;
}

}  // namespace

cudaStream_t stream() { return context().stream; }
cublasLtHandle_t lt_handle() { return context().lt; }
Workspace workspace() { return {context().workspace, kWorkspaceBytes}; }

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

void select_device(int device) {
  const int count = device_count();
  RMOE_CHECK(device < count, "cuda: wanted device ", device, ", this machine shows ", count,
             "; see nvidia-smi and CUDA_VISIBLE_DEVICES");
  CUDA_CHECK(cudaSetDevice(device));
}

void synchronize() {
  CUDA_CHECK(cudaStreamSynchronize(stream()));
  context().staged = 0;
}

void* take_from_driver(int64_t bytes) {
  void* block = nullptr;
  const cudaError_t error = cudaMalloc(&block, size_t(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  CUDA_CHECK(error);
  return block;
}

void give_to_driver(void* block) { CUDA_CHECK(cudaFree(block)); }

DeviceSpace device_space() {
  context();
  size_t left = 0, all = 0;
  CUDA_CHECK(cudaMemGetInfo(&left, &all));
  return {int64_t(left), int64_t(all)};
}

void copy_to_device(void* dst, const void* src, int64_t bytes) {
  if (rehearsing()) return;
  constexpr size_t kAlignment = 64;
  Context& c = context();
  const size_t size = size_t(bytes);
  if (size > kStagingBytes) {
    CUDA_CHECK(cudaMemcpyAsync(dst, src, size, cudaMemcpyHostToDevice, c.stream));
    return synchronize();
  }
  if (c.staged + size > kStagingBytes) synchronize();
  std::memcpy(c.staging + c.staged, src, size);
  CUDA_CHECK(cudaMemcpyAsync(dst, c.staging + c.staged, size, cudaMemcpyHostToDevice, c.stream));
  c.staged += (size + kAlignment - 1) / kAlignment * kAlignment;
}

void copy_to_host(void* dst, const void* src, int64_t bytes) {
  if (rehearsing()) {
    std::memset(dst, 0, size_t(bytes));
    return;
  }
  CUDA_CHECK(cudaMemcpyAsync(dst, src, size_t(bytes), cudaMemcpyDeviceToHost, stream()));
  synchronize();
}

}  // namespace rmoe::cuda
