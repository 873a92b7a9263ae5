#pragma once

#include <cstdint>

namespace rmoe::cpu {

// Each gradient kernel computes into = beta * into + gradient.
template <class T>
void matmul_fwd(T* y, const T* a, const T* b, int64_t batch, int64_t M, int64_t N, int64_t K);
template <class T>
void matmul_bwd_a(T* da, const T* dy, const T* b, int64_t batch, int64_t M, int64_t N, int64_t K,
                  double beta);
template <class T>
void matmul_bwd_b(T* db, const T* dy, const T* a, int64_t batch, int64_t M, int64_t N, int64_t K,
                  double beta);

}  // namespace rmoe::cpu
