#include "engine/tensor.hpp"

#include "engine/cuda/backend.hpp"
#include "engine/memory.hpp"
#include "engine/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rmoe {
namespace {

constexpr int64_t kChunk = 1 << 15;

/// Calls f with a TypeTag of the dtype.
template <class F>
void with_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(TypeTag<float>{});
    case DType::f64:
      return f(TypeTag<double>{});
    case DType::i32:
      return f(TypeTag<int32_t>{});
    case DType::bf16:
      return f(TypeTag<bf16>{});
  }
}

template <class To, class From>
To convert(From x) {
  if constexpr (std::is_same_v<To, bf16>)
    return bf16(static_cast<float>(x));
  else if constexpr (std::is_same_v<From, bf16>)
    return static_cast<To>(static_cast<float>(x));
  else
    return static_cast<To>(x);
}

/// Is there anything to do for it? Not on meta.
bool has_values(const Tensor& x) { return x.device() != Device::meta && x.numel() > 0; }

bool on_cuda(const Tensor& x) { return x.device() == Device::cuda; }

/// The same bytes on the other device. A GPU's values are converted there, where it is quick.
void transfer(const Tensor& dst, const Tensor& src) {
  if (dst.dtype() != src.dtype()) {
    const Tensor& on_gpu = on_cuda(dst) ? dst : src;
    const Tensor between = empty_like(on_gpu, dst.shape(), on_cuda(dst) ? src.dtype() : dst.dtype());
    copy(between, src);
    copy(dst, between);
  } else if (on_cuda(dst)) {
    cuda::copy_to_device(dst.raw(), src.raw(), src.bytes());
  } else {
    cuda::copy_to_host(dst.raw(), src.raw(), src.bytes());
  }
}

}  // namespace

Storage::Storage(int64_t bytes, Device device)
    : data_(memory::allocate(bytes, device)), bytes_(bytes), device_(device) {}

Storage::~Storage() { memory::release(data_, bytes_, device_); }

Tensor::Tensor(Shape shape, DType dtype, Device device)
    : storage_(std::make_shared<Storage>(shape.numel() * size_of(dtype), device)),
      shape_(shape),
      numel_(shape.numel()),
      dtype_(dtype) {}

void* Tensor::raw() const {
  RMOE_CHECK(storage_, "tensor: data of an undefined tensor");
  return static_cast<char*>(storage_->data()) + offset_bytes_;
}

Tensor Tensor::reshape(Shape shape) const {
  RMOE_CHECK(shape.numel() == numel_, "reshape: ", shape_, " does not fit ", shape);
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::rows(int64_t begin, int64_t count) const {
  RMOE_CHECK(begin >= 0 && count >= 0 && begin + count <= dim(0), "rows: [", begin, ", ", begin + count,
             ") of ", shape_);
  const int64_t row = dim(0) ? numel_ / dim(0) : 0;
  Tensor view = *this;
  view.shape_ = shape_.with(0, count);
  view.numel_ = row * count;
  view.offset_bytes_ += begin * row * size_of(dtype_);
  return view;
}

double Tensor::item() const {
  RMOE_CHECK(numel_ == 1, "item: ", shape_, " holds more than one value");
  RMOE_CHECK(device() != Device::meta, "item: the value lives on ", device());
  const Tensor here = to(*this, Device::cpu);
  double value = 0;
  with_type(dtype_, [&]<class T>(TypeTag<T>) { value = convert<double>(*here.data<T>()); });
  return value;
}

Tensor zeros(Shape shape, DType dtype, Device device) { return full(shape, 0, dtype, device); }

Tensor full(Shape shape, double value, DType dtype, Device device) {
  Tensor t(shape, dtype, device);
  fill(t, value);
  return t;
}

void fill(const Tensor& dst, double value) {
  if (!has_values(dst)) return;
  if (on_cuda(dst)) return cuda::fill(dst.raw(), dst.dtype(), value, dst.numel());
  with_type(dst.dtype(), [&]<class T>(TypeTag<T>) {
    T* d = dst.data<T>();
    parallel_chunks(dst.numel(), kChunk,
                    [=](int64_t begin, int64_t end) { std::fill(d + begin, d + end, convert<T>(value)); });
  });
}

void copy(const Tensor& dst, const Tensor& src) {
  RMOE_CHECK(dst.numel() == src.numel(), "copy: ", src.shape(), " does not fit ", dst.shape());
  RMOE_CHECK((dst.device() == Device::meta) == (src.device() == Device::meta), "copy: from ", src.device(),
             " to ", dst.device());
  if (!has_values(dst)) return;
  if (dst.device() != src.device()) return transfer(dst, src);
  if (on_cuda(dst)) return cuda::convert(dst.raw(), dst.dtype(), src.raw(), src.dtype(), dst.numel());
  with_type(dst.dtype(), [&]<class To>(TypeTag<To>) {
    with_type(src.dtype(), [&]<class From>(TypeTag<From>) {
      To* d = dst.data<To>();
      const From* s = src.data<From>();
      parallel_chunks(dst.numel(), kChunk, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) d[i] = convert<To>(s[i]);
      });
    });
  });
}

void accumulate(const Tensor& dst, const Tensor& src) {
  RMOE_CHECK(dst.shape() == src.shape() && dst.dtype() == src.dtype() && dst.device() == src.device(),
             "accumulate: ", src.dtype(), src.shape(), " does not fit ", dst.dtype(), dst.shape());
  if (!has_values(dst)) return;
  if (on_cuda(dst)) return cuda::accumulate(dst.raw(), src.raw(), dst.dtype(), dst.numel());
  with_type(dst.dtype(), [&]<class T>(TypeTag<T>) {
    T* d = dst.data<T>();
    const T* s = src.data<T>();
    parallel_chunks(dst.numel(), kChunk, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        d[i] = convert<T>(convert<acc_t<T>>(d[i]) + convert<acc_t<T>>(s[i]));
    });
  });
}

Tensor clone(const Tensor& src) {
  Tensor t = empty_like(src);
  copy(t, src);
  return t;
}

Tensor to(const Tensor& src, DType dtype) {
  if (src.dtype() == dtype) return src;
  Tensor t = empty_like(src, src.shape(), dtype);
  copy(t, src);
  return t;
}

Tensor to(const Tensor& src, Device device) {
  if (src.device() == device) return src;
  Tensor t = empty(src.shape(), src.dtype(), device);
  copy(t, src);
  return t;
}

int64_t first_non_finite(const Tensor& x) {
  if (!has_values(x)) return -1;
  const Tensor here = to(x, Device::cpu);
  int64_t index = -1;
  with_type(x.dtype(), [&]<class T>(TypeTag<T>) {
    const T* v = here.data<T>();
    const auto bad = std::find_if(v, v + x.numel(), [](T a) { return !std::isfinite(convert<double>(a)); });
    if (bad != v + x.numel()) index = bad - v;
  });
  return index;
}

}  // namespace rmoe
