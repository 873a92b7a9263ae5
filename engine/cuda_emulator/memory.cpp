// The memory calls of the CUDA runtime, strict about where pointers point. A copy from or to pageable host
// memory makes the host wait, as it does on a GPU; from and to pinned memory it happens when the stream gets
// there.
#include "engine/cuda_emulator/checker.hpp"
#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/errors.hpp"
#include "engine/cuda_emulator/heap.hpp"
#include "engine/cuda_emulator/recording.hpp"

#include <cstring>
#include <string>

namespace rmoe::emulator {
namespace {

bool range_fits(const void* pointer, size_t bytes) {
  return !is_device(pointer) || in_device_memory(pointer, bytes);
}

cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const bool wants_device_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool wants_device_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && (is_device(to) != wants_device_to || is_device(from) != wants_device_from))
    return report(cudaErrorInvalidMemcpyDirection,
                  "copy kind " + std::to_string(kind) + " from " + describe(from) + " to " + describe(to));
  if (!range_fits(to, bytes) || !range_fits(from, bytes))
    return report(cudaErrorInvalidValue, "copy of " + std::to_string(bytes) +
                                             " bytes leaves the allocation of its " +
                                             (range_fits(to, bytes) ? "source" : "destination"));
  return cudaSuccess;
}

bool pageable(const void* pointer) {
  return !is_device(pointer) && !is_pinned(reinterpret_cast<uintptr_t>(pointer));
}

void copy(void* to, const void* from, size_t bytes) {
  if (!range_fits(to, bytes) || !range_fits(from, bytes))
    throw KernelError(cudaErrorIllegalAddress, "memory was freed before a copy from or to it had happened");
  std::memmove(to, from, bytes);
  if (is_device(to)) checker::device_written(to, bytes);
}

cudaError_t enqueue_copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t error = check_copy(to, from, bytes, kind)) return error;
  if (!current_device().knows(stream)) return report(cudaErrorInvalidResourceHandle, "copy: no such stream");
  record("copy", {bytes}, {to, from});
  current_device().enqueue(stream, [=] { copy(to, from, bytes); });
  return current_device().sticky_error();
}

}  // namespace
}  // namespace rmoe::emulator

using namespace rmoe::emulator;

extern "C" {

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  count_allocation();
  *memory = nullptr;
  if (const cudaError_t error = current_device().sticky_error()) return error;
  if (bytes == 0) return cudaSuccess;
  *memory = device_allocate(bytes);
  if (*memory) return cudaSuccess;
  return report(cudaErrorMemoryAllocation, std::to_string(bytes) + " bytes wanted, " +
                                               std::to_string(device_bytes_free()) + " are free");
}

cudaError_t cudaFree(void* memory) {
  if (!memory) return cudaSuccess;
  const cudaError_t sticky = current_device().wait_for_all();
  if (!device_free(memory)) return report(cudaErrorInvalidValue, "cudaFree of " + describe(memory));
  return sticky;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  count_allocation();
  *memory = bytes ? pinned_allocate(bytes) : nullptr;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  if (!memory) return cudaSuccess;
  const cudaError_t sticky = current_device().wait_for_all();
  if (!pinned_free(memory)) return report(cudaErrorInvalidValue, "cudaFreeHost of " + describe(memory));
  return sticky;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const cudaError_t error = enqueue_copy(to, from, bytes, kind, stream);
  if (error == cudaSuccess && bytes && (pageable(to) || pageable(from)))
    return current_device().wait_for_stream(stream);
  return error;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = enqueue_copy(to, from, bytes, kind, nullptr);
  return error == cudaSuccess ? current_device().wait(current_device().now(nullptr)) : error;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  if (!in_device_memory(memory, bytes))
    return report(cudaErrorInvalidValue, "memset of " + std::to_string(bytes) + " bytes at " +
                                             describe(memory) + " leaves its allocation");
  if (!current_device().knows(stream))
    return report(cudaErrorInvalidResourceHandle, "memset: no such stream");
  record("fill", {bytes}, {memory}, {uint64_t(value)});
  current_device().enqueue(stream, [=] {
    std::memset(memory, value, bytes);
    checker::device_written(memory, bytes);
  });
  return current_device().sticky_error();
}

cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  return cudaMemsetAsync(memory, value, bytes, nullptr);
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *total_bytes = static_cast<size_t>(options().memory_mb) << 20;
  *free_bytes = device_bytes_free();
  return cudaSuccess;
}

}  // extern "C"
