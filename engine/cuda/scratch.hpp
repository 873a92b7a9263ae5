// A work buffer on the device for one launcher: uninitialised, handed back at the end of the scope, when the
// kernels that use it are enqueued; who gets it next works behind them in the stream.
#pragma once

#include "engine/memory.hpp"

namespace rmoe::cuda {

template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t n)
      : bytes_(n * int64_t(sizeof(T))), data_(memory::allocate(bytes_, Device::cuda)) {}
  ~Scratch() { memory::release(data_, bytes_, Device::cuda); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return static_cast<T*>(data_); }

 private:
  int64_t bytes_;
  void* data_;
};

}  // namespace rmoe::cuda
