// Compiled for AVX2, see CMakeLists.txt.
#include "engine/gemm_kernel.hpp"

#if defined(__AVX2__) && defined(__FMA__)

#define RMOE_KERNEL avx2
#define RMOE_KERNEL_NAME "AVX2"
#define RMOE_VECTOR_BYTES 32
#define RMOE_MOST_VECTORS 2
#include "engine/gemm_kernel.inl"

#else

namespace rmoe::gemm_kernel {
template <>
const Kernel<float>* avx2<float>() {
  return nullptr;
}
template <>
const Kernel<double>* avx2<double>() {
  return nullptr;
}
template <>
const Kernel<Pair>* avx2<Pair>() {
  return nullptr;
}
}  // namespace rmoe::gemm_kernel

#endif
