// Tensor: a handle to dense row-major values on one device. No gradients, no strides: a view shares storage
// and differs in shape and start only.
#pragma once

#include "engine/device.hpp"
#include "engine/dtype.hpp"
#include "engine/error.hpp"
#include "engine/shape.hpp"

#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace rmoe {

/// A block of memory, returned to the caching allocator with the last handle.
class Storage {
 public:
  Storage(int64_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  Device device() const { return device_; }

 private:
  void* data_;
  int64_t bytes_;
  Device device_;
};

class Tensor {
 public:
  Tensor() = default;  // undefined: no storage; stands for an absent optional argument
  Tensor(Shape shape, DType dtype, Device device = Device::cpu);

  bool defined() const { return storage_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t numel() const { return numel_; }
  int64_t bytes() const { return numel_ * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : Device::cpu; }
  /// True if no other handle shares the storage: writing into it surprises nobody.
  bool unique() const { return storage_.use_count() == 1; }

  void* raw() const;
  template <class T>
  T* data() const {
    RMOE_CHECK(dtype_ == dtype_of<T>, "tensor: ", dtype_, " read as ", dtype_of<T>);
    return static_cast<T*>(raw());
  }
  template <class T>
  std::span<T> span() const {
    return {data<T>(), static_cast<size_t>(numel_)};
  }

  /// The same values under another shape of equal size.
  Tensor reshape(Shape shape) const;
  /// Rows [begin, begin + count) of the first dimension.
  Tensor rows(int64_t begin, int64_t count) const;
  /// The only value of a tensor of one element, as a double. On a GPU it waits for it.
  double item() const;

 private:
  std::shared_ptr<Storage> storage_;
  Shape shape_;
  int64_t numel_ = 0;
  int64_t offset_bytes_ = 0;
  DType dtype_ = DType::f32;
};

inline Tensor empty(Shape shape, DType dtype, Device device = Device::cpu) { return {shape, dtype, device}; }
inline Tensor empty_like(const Tensor& x) { return {x.shape(), x.dtype(), x.device()}; }
inline Tensor empty_like(const Tensor& x, Shape shape) { return {shape, x.dtype(), x.device()}; }
inline Tensor empty_like(const Tensor& x, Shape shape, DType dtype) { return {shape, dtype, x.device()}; }

Tensor zeros(Shape shape, DType dtype, Device device = Device::cpu);
Tensor full(Shape shape, double value, DType dtype, Device device = Device::cpu);

template <class T>
Tensor from_vector(const std::vector<T>& values, Shape shape) {
  Tensor t(shape, dtype_of<T>);
  RMOE_CHECK(t.numel() == int64_t(values.size()), "tensor: ", values.size(), " values do not fill ", shape);
  std::copy(values.begin(), values.end(), t.span<T>().begin());
  return t;
}

// The few operations on values that the engine itself needs. All are exact in any order and run in parallel.
void fill(const Tensor& dst, double value);
void copy(const Tensor& dst, const Tensor& src);        // converts between dtypes, moves between devices
void accumulate(const Tensor& dst, const Tensor& src);  // dst += src, element by element; same dtype
Tensor clone(const Tensor& src);
Tensor to(const Tensor& src, DType dtype);    // src itself if it has that dtype already
Tensor to(const Tensor& src, Device device);  // src itself if it is there already
/// Index of the first value that is NaN or infinite, -1 if there is none. Float types only.
int64_t first_non_finite(const Tensor& x);

}  // namespace rmoe
