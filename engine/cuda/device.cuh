// What every kernel source includes. The same text is compiled by nvcc for a GPU and by g++ for the emulator
// (engine/cuda_emulator); only what the two cannot write alike is a macro here.
//
//   SHARED(float[16][17], tile);         a static shared array
//   DYN_SHARED(bf16, stages);            the launch's dynamic shared memory
//   LAUNCH((scale<float>), grid, block, shared_bytes, stream, x, 2.0f);    throws on a launch that is
//   refused;
//                                                                          left out in a rehearsal
#pragma once

#include "engine/rehearsal.hpp"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdint.h>
#else
#include "engine/cuda_emulator/intrinsics.hpp"
#endif

namespace rmoe::cuda {

using bf16x2 = __nv_bfloat162;

/// Makes `T[n]` one word in a declaration.
template <class T>
struct Plain {
  using type = T;
};

/// Throws if the last launch was refused: host code, in check.cpp.
void check_launch(const char* kernel, const char* file, int line);

}  // namespace rmoe::cuda

#ifdef __CUDACC__
#define DEVICE __device__ __forceinline__
#define HOST_DEVICE __host__ __device__ __forceinline__
#define ON_DEVICE __device__
#define UNROLL _Pragma("unroll")
#define SHARED(T, name) __shared__ typename ::rmoe::cuda::Plain<T>::type name
#define DYN_SHARED(T, name)                                              \
  extern __shared__ __align__(128) unsigned char rmoe_dynamic_shared_[]; \
  T* name = reinterpret_cast<T*>(rmoe_dynamic_shared_)
// clang-format would take the brackets of a launch apart.
// clang-format off
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                   \
  (::rmoe::rehearsing()                                                          \
       ? void()                                                                  \
       : ((kernel)<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__),  \
          ::rmoe::cuda::check_launch(#kernel, __FILE__, __LINE__)))
// clang-format on
#else
#define DEVICE inline __attribute__((always_inline))
#define HOST_DEVICE DEVICE
#define ON_DEVICE
#define UNROLL
#define SHARED(T, name)                                                                                \
  auto& name = *static_cast<typename ::rmoe::cuda::Plain<T>::type*>(::rmoe::emulator::shared_variable( \
      [] {                                                                                             \
        static const char key = 0;                                                                     \
        return static_cast<const void*>(&key);                                                         \
      }(),                                                                                             \
      sizeof(typename ::rmoe::cuda::Plain<T>::type), alignof(typename ::rmoe::cuda::Plain<T>::type),   \
      ::std::source_location::current()))
#define DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(::rmoe::emulator::current->block->dynamic_shared)
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                            \
  (::rmoe::rehearsing()                                                                                   \
       ? void()                                                                                           \
       : (::rmoe::emulator::launch(#kernel, ::std::source_location::current(), (kernel), (grid), (block), \
                                   (shared_bytes), (stream)__VA_OPT__(, ) __VA_ARGS__),                   \
          ::rmoe::cuda::check_launch(#kernel, __FILE__, __LINE__)))
#endif
