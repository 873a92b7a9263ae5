// Matrix products on the device by cuBLASLt, row-major, as engine/gemm.hpp has them on the CPU:
// C_mn = beta C_mn + sum_k op(A)_mk op(B)_kn + bias_n, where there is a bias. fp32 sums whatever the types;
// no TF32.
//
// What cuBLASLt proposes for a problem is asked for once and kept: the same algorithm, and so the same bits,
// for the same shapes during a run.
#pragma once

#include "engine/dtype.hpp"
#include "engine/gemm.hpp"

namespace rmoe::cuda {

/// A, B of type In (float or bf16), C of type Out (In, or float).
template <class In, class Out>
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const In* a, int64_t lda, const In* b,
          int64_t ldb, double beta, Out* c, int64_t ldc, const Out* bias = nullptr);

/// `batch` products; matrix i starts i * stride elements behind the first.
template <class In, class Out>
void gemm_batched(int64_t batch, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const In* a,
                  int64_t lda, int64_t stride_a, const In* b, int64_t ldb, int64_t stride_b, double beta,
                  Out* c, int64_t ldc, int64_t stride_c, const Out* bias = nullptr);

}  // namespace rmoe::cuda
