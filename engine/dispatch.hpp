// The one place that branches on device and dtype.
//
//   DISPATCH(x, rms_norm_fwd, y, rstd, x, w, N, D, eps);
//
// calls cpu::rms_norm_fwd<T> or cuda::rms_norm_fwd<T> (engine/kernel.hpp) with T the element type of x.
// Tensors become typed pointers (checked against the kernel's signature; an undefined tensor becomes null),
// everything else is passed on. On meta nothing is called. DISPATCH_INTEGER calls a kernel on integers alone,
// which has no element type.
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

/// Is the weak symbol part of this program? Not inline: a compiler that sees a function's address takes it
/// for something that is there.
bool is_linked(void (*function)());

template <class Function, class... Args>
void call_cuda(const char* kernel, Function* function, const Args&... args) {
  RMOE_CHECK(is_linked(reinterpret_cast<void (*)()>(function)), kernel, ": no CUDA kernel");
  function(kernel_argument(args)...);
}

template <class Cpu, class Cuda, class... Args>
void dispatch(const Tensor& like, const char* kernel, Cpu cpu, Cuda cuda, const Args&... args) {
  if (like.device() == Device::meta) return;
  const bool on_cpu = like.device() == Device::cpu;
  switch (like.dtype()) {
    case DType::f32:
      return on_cpu ? cpu(TypeTag<float>{}, args...) : cuda(TypeTag<float>{}, args...);
    case DType::f64:
      if (on_cpu) return cpu(TypeTag<double>{}, args...);
      break;
    case DType::bf16:
      if (!on_cpu) return cuda(TypeTag<bf16>{}, args...);
      break;
    case DType::i32:
      break;
  }
  fail(kernel, ": no ", on_cpu ? "CPU" : "CUDA", " kernel for ", like.dtype());
}

template <class Cpu, class Cuda, class... Args>
void dispatch_integer(const Tensor& like, Cpu cpu, Cuda cuda, const Args&... args) {
  if (like.device() == Device::cpu) cpu(args...);
  if (like.device() == Device::cuda) cuda(args...);
}

}  // namespace detail
}  // namespace rmoe

#define DISPATCH(like, kernel, ...)                                                         \
  ::rmoe::detail::dispatch((like), #kernel,                                                 \
                           []<class T>(::rmoe::TypeTag<T>, const auto&... args) {           \
                             cpu::kernel<T>(::rmoe::detail::kernel_argument(args)...);      \
                           },                                                               \
                           []<class T>(::rmoe::TypeTag<T>, const auto&... args) {           \
                             ::rmoe::detail::call_cuda(#kernel, &cuda::kernel<T>, args...); \
                           },                                                               \
                           __VA_ARGS__)

#define DISPATCH_INTEGER(like, kernel, ...)                                                       \
  ::rmoe::detail::dispatch_integer(                                                               \
      (like), [](const auto&... args) { cpu::kernel(::rmoe::detail::kernel_argument(args)...); }, \
      [](const auto&... args) { ::rmoe::detail::call_cuda(#kernel, &cuda::kernel, args...); }, __VA_ARGS__)
