// A typed work buffer from the caching allocator, for kernels: uninitialised, gone at the end of the scope.
#pragma once

#include "engine/memory.hpp"

namespace rmoe {

template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t n)
      : bytes_(n * int64_t(sizeof(T))), data_(memory::allocate(bytes_, Device::cpu)) {}
  ~Scratch() { memory::release(data_, bytes_, Device::cpu); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return static_cast<T*>(data_); }
  T& operator[](int64_t i) const { return data()[i]; }

 private:
  int64_t bytes_;
  void* data_;
};

}  // namespace rmoe
