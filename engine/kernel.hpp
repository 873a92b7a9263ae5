// A kernel's signature, written once for every device: cpu::name<T> and cuda::name<T>. T is the element type:
// float and double on the CPU, float and bf16 on a GPU.
//
//   KERNEL(rms_norm_fwd, T* y, acc_t<T>* r, const T* x, const T* w, int64_t N, int64_t C, double eps);
//   INTEGER_KERNEL(sort_by_expert, int32_t* offsets, const int32_t* experts, int64_t M);
//
// CUDA kernels are weak symbols: a program linked without the CUDA backend has none of them, and dispatch()
// says so by name when one is wanted. They work in cuda::stream() and return before it is done.
#pragma once

#include "engine/dtype.hpp"

#define KERNEL(name, ...)               \
  namespace cpu {                       \
  template <class T>                    \
  void name(__VA_ARGS__);               \
  }                                     \
  namespace cuda {                      \
  template <class T>                    \
  [[gnu::weak]] void name(__VA_ARGS__); \
  }                                     \
  static_assert(true, "takes the semicolon")

#define INTEGER_KERNEL(name, ...)       \
  namespace cpu {                       \
  void name(__VA_ARGS__);               \
  }                                     \
  namespace cuda {                      \
  [[gnu::weak]] void name(__VA_ARGS__); \
  }                                     \
  static_assert(true, "takes the semicolon")
