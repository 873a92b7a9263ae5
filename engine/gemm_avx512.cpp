// Compiled for AVX-512, see CMakeLists.txt.
#include "engine/gemm_kernel.hpp"

#if defined(__AVX512F__) && defined(__FMA__)

#define RMOE_KERNEL avx512
#define RMOE_KERNEL_NAME "AVX-512"
#define RMOE_VECTOR_BYTES 64
#define RMOE_MOST_VECTORS 4
#include "engine/gemm_kernel.inl"

#else

namespace rmoe::gemm_kernel {
template <>
const Kernel<float>* avx512<float>() {
  return nullptr;
}
template <>
const Kernel<double>* avx512<double>() {
  return nullptr;
}
template <>
const Kernel<Pair>* avx512<Pair>() {
  return nullptr;
}
}  // namespace rmoe::gemm_kernel

#endif
