// The one place that branches on device and dtype.
//
//   DISPATCH(x, rms_norm_fwd, y, rstd, x, w, N, D, eps);
//
// calls cpu::rms_norm_fwd<T> with T the element type of x. Tensors become typed pointers (checked against the
// kernel's signature; an undefined tensor becomes null), everything else is passed on. On meta nothing is
// called. DISPATCH_INTEGER calls cpu::kernel, for a kernel on integers alone that has no element type.
#pragma once

#include "engine/tensor.hpp"

namespace rmoe {

namespace detail {

/// A tensor on its way into a kernel: becomes a pointer of the type the parameter asks for, if it has that
/// type.
struct KernelPointer {
  const Tensor& tensor;
  template <class U>
  operator U*() const {
    return tensor.defined() ? tensor.data<std::remove_const_t<U>>() : nullptr;
  }
};

template <class A>
decltype(auto) kernel_argument(const A& a) {
  if constexpr (std::is_same_v<A, Tensor>)
    return KernelPointer{a};
  else
    return (a);
}

/// Is there anything to call for tensors like this one?
inline bool has_values(const Tensor& like, const char* kernel) {
  RMOE_CHECK(like.device() != Device::cuda, kernel, ": no CUDA kernel");
  return like.device() == Device::cpu;
}

template <class Call, class... Args>
void dispatch(const Tensor& like, const char* kernel, Call call, const Args&... args) {
  if (!has_values(like, kernel)) return;
  switch (like.dtype()) {
    case DType::f32:
      return call(TypeTag<float>{}, args...);
    case DType::f64:
      return call(TypeTag<double>{}, args...);
    default:
      fail(kernel, ": no CPU kernel for ", like.dtype());
  }
}

template <class Call, class... Args>
void dispatch_integer(const Tensor& like, const char* kernel, Call call, const Args&... args) {
  if (has_values(like, kernel)) call(args...);
}

}  // namespace detail
}  // namespace rmoe

#define DISPATCH(like, kernel, ...)                                                    \
  ::rmoe::detail::dispatch((like), #kernel,                                            \
                           []<class T>(::rmoe::TypeTag<T>, const auto&... args) {      \
                             cpu::kernel<T>(::rmoe::detail::kernel_argument(args)...); \
                           },                                                          \
                           __VA_ARGS__)

#define DISPATCH_INTEGER(like, kernel, ...)                                                                \
  ::rmoe::detail::dispatch_integer(                                                                        \
      (like), #kernel, [](const auto&... args) { cpu::kernel(::rmoe::detail::kernel_argument(args)...); }, \
      __VA_ARGS__)
