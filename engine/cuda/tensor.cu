// The engine's own operations on values (engine/tensor.hpp) on the device.
#include "engine/cuda/backend.hpp"
#include "engine/cuda/map.cuh"
#include "engine/error.hpp"

namespace rmoe::cuda {
namespace {

template <class T>
struct Type {
  using type = T;
};

/// Calls f with the device's type of this dtype.
template <class F>
void with_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f32:
      return f(Type<float>{});
    case DType::f64:
      return f(Type<double>{});
    case DType::i32:
      return f(Type<int32_t>{});
    case DType::bf16:
      return f(Type<__nv_bfloat16>{});
  }
}

template <class To, class From>
DEVICE To convert_value(From x) {
  if constexpr (sizeof(From) == 2)
    return To(__bfloat162float(x));
  else if constexpr (sizeof(To) == 2)
    return __float2bfloat16(float(x));
  else
    return To(x);
}

template <class T>
void fill_values(T* y, double value, int64_t n) {
  for_each(n, [=] ON_DEVICE(int64_t i) { y[i] = convert_value<T>(value); });
}

/// fp32 and bf16, which a model is made of: these go through the fast loop.
template <class T>
constexpr bool kInFloat = std::is_same_v<T, float> || std::is_same_v<T, __nv_bfloat16>;

template <class To, class From>
void convert_values(To* y, const From* x, int64_t n) {
  if constexpr (kInFloat<To> && kInFloat<From>)
    map_into(
        y, n, 0, [] ON_DEVICE(float value) { return value; }, x);
  else
    for_each(n, [=] ON_DEVICE(int64_t i) { y[i] = convert_value<To>(x[i]); });
}

template <class T>
void add_values(T* y, const T* x, int64_t n) {
  if constexpr (kInFloat<T>)
    map_into(
        y, n, 1, [] ON_DEVICE(float value) { return value; }, x);
  else
    for_each(n, [=] ON_DEVICE(int64_t i) { y[i] = y[i] + x[i]; });
}

}  // namespace

void fill(void* dst, DType dtype, double value, int64_t n) {
  with_type(dtype, [=](auto type) {
    using T = typename decltype(type)::type;
    fill_values(static_cast<T*>(dst), value, n);
  });
}

void convert(void* dst, DType to, const void* src, DType from, int64_t n) {
  if (rehearsing()) return;
  with_type(to, [=](auto target) {
    with_type(from, [=](auto source) {
      using To = typename decltype(target)::type;
      using From = typename decltype(source)::type;
      if constexpr (std::is_same_v<To, From>)
        cudaMemcpyAsync(dst, src, size_t(n) * sizeof(To), cudaMemcpyDeviceToDevice, stream());
      else
        convert_values(static_cast<To*>(dst), static_cast<const From*>(src), n);
    });
  });
}

void accumulate(void* dst, const void* src, DType dtype, int64_t n) {
  with_type(dtype, [=](auto type) {
    using T = typename decltype(type)::type;
    add_values(static_cast<T*>(dst), static_cast<const T*>(src), n);
  });
}

}  // namespace rmoe::cuda
