// Arrays on the device, and errors as tests want them.
#pragma once

#include "engine/cuda/check.hpp"
#include "engine/cuda_emulator/emulator.hpp"

#include <cuda_runtime_api.h>
#include <functional>
#include <string>
#include <vector>

namespace rmoe::cuda::test {

/// A device array; from values, or uninitialised.
template <class T>
class Array {
 public:
  explicit Array(size_t size) : size_(size) {
    CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)));
  }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    CUDA_CHECK(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  Array(size_t size, T value) : Array(std::vector<T>(size, value)) {}
  ~Array() { cudaFree(data_); }
  Array(const Array&) = delete;

  operator T*() { return data_; }
  std::vector<T> values() const {
    std::vector<T> host(size_);
    CUDA_CHECK(cudaMemcpy(host.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  T* data_ = nullptr;
  size_t size_;
};

/// Puts the emulator's options back as they were.
struct KeepOptions {
  emulator::Options saved = emulator::options();
  ~KeepOptions() { emulator::options() = saved; }
};

/// Runs `body` with seeds 0 to 3.
inline void for_seeds(const std::function<void()>& body) {
  const KeepOptions keep;
  for (emulator::options().seed = 0; emulator::options().seed < 4; emulator::options().seed++) body();
}

/// What `body` or the work it enqueues fails with, "" if it does not; the device is usable again afterwards.
inline std::string error_of(const std::function<void()>& body) {
  std::string message;
  try {
    body();
    CUDA_CHECK(cudaDeviceSynchronize());
  } catch (const std::exception& error) {
    message = error.what();
  }
  cudaDeviceReset();
  return message;
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace rmoe::cuda::test
