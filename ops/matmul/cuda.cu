#include "engine/cuda/gemm.hpp"
#include "engine/cuda/kernel_types.cuh"
#include "ops/matmul/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void matmul_fwd(T* y, const T* a, const T* b, int64_t batch, int64_t M, int64_t N, int64_t K) {
  gemm_batched<T, T>(batch, Trans::no, Trans::no, M, N, K, a, K, M * K, b, N, K * N, 0, y, N, M * N);
}

template <class T>
void matmul_bwd_a(T* da, const T* dy, const T* b, int64_t batch, int64_t M, int64_t N, int64_t K,
                  double beta) {
  gemm_batched<T, T>(batch, Trans::no, Trans::yes, M, K, N, dy, N, M * N, b, N, K * N, beta, da, K, M * K);
}

template <class T>
void matmul_bwd_b(T* db, const T* dy, const T* a, int64_t batch, int64_t M, int64_t N, int64_t K,
                  double beta) {
  gemm_batched<T, T>(batch, Trans::yes, Trans::no, K, N, M, a, K, M * K, dy, N, M * N, beta, db, N, K * N);
}

#define RMOE_INSTANTIATE(T)                                                                          \
  template void matmul_fwd<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, int64_t);           \
  template void matmul_bwd_a<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, int64_t, double); \
  template void matmul_bwd_b<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
