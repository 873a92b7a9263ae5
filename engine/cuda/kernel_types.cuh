// From the types in a kernel's signature (engine/kernel.hpp) to those the device computes with.
#pragma once

#include "engine/cuda/device.cuh"
#include "engine/dtype.hpp"

namespace rmoe::cuda {

template <class T>
struct OnDevice {
  using type = T;
};
template <>
struct OnDevice<::rmoe::bf16> {
  using type = __nv_bfloat16;
};
template <>
struct OnDevice<const ::rmoe::bf16> {
  using type = const __nv_bfloat16;
};

template <class T>
typename OnDevice<T>::type* device_pointer(T* pointer) {
  return reinterpret_cast<typename OnDevice<T>::type*>(pointer);
}

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
DEVICE T from_float(float x) {
  if constexpr (sizeof(T) == 2)
    return __float2bfloat16(x);
  else
    return x;
}

/// y = beta y + value; beta = 0 never reads y.
template <class T>
DEVICE void put(T& y, float value, float beta) {
  y = from_float<T>(beta == 0.0f ? value : beta * to_float(y) + value);
}

}  // namespace rmoe::cuda

/// Explicit instantiations for the two element types of a GPU: RMOE_CUDA_TYPES(MACRO) expands MACRO(T).
#define RMOE_CUDA_TYPES(MACRO) \
  MACRO(float)                 \
  MACRO(::rmoe::bf16)
