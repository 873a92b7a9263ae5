// Compiled for AVX-512 with bf16, see CMakeLists.txt.
#include "engine/gemm_kernel.hpp"

#if defined(__AVX512BF16__)

#include <immintrin.h>

#define RMOE_BF16
#define RMOE_KERNEL avx512_bf16
#define RMOE_KERNEL_NAME "AVX-512 bf16"
#define RMOE_VECTOR_BYTES 64
#define RMOE_MOST_VECTORS 4
#include "engine/gemm_kernel.inl"

#else

namespace rmoe::gemm_kernel {
const Kernel<Pair>* avx512_bf16() { return nullptr; }
}  // namespace rmoe::gemm_kernel

#endif
