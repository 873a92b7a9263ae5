#include "engine/gemm.hpp"
#include "ops/matmul/kernels.hpp"

namespace rmoe::cpu {

template <class T>
void matmul_fwd(T* y, const T* a, const T* b, int64_t batch, int64_t M, int64_t N, int64_t K) {
  gemm_batched<T>(batch, Trans::no, Trans::no, M, N, K, a, K, M * K, b, N, K * N, T(0), y, N, M * N);
}

template <class T>
void matmul_bwd_a(T* da, const T* dy, const T* b, int64_t batch, int64_t M, int64_t N, int64_t K,
                  double beta) {
  gemm_batched<T>(batch, Trans::no, Trans::yes, M, K, N, dy, N, M * N, b, N, K * N, T(beta), da, K, M * K);
}

template <class T>
void matmul_bwd_b(T* db, const T* dy, const T* a, int64_t batch, int64_t M, int64_t N, int64_t K,
                  double beta) {
  gemm_batched<T>(batch, Trans::yes, Trans::no, K, N, M, a, K, M * K, dy, N, M * N, T(beta), db, N, K * N);
}

#define RMOE_INSTANTIATE(T)                                                                          \
  template void matmul_fwd<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, int64_t);           \
  template void matmul_bwd_a<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, int64_t, double); \
  template void matmul_bwd_b<T>(T*, const T*, const T*, int64_t, int64_t, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
