// Matrix products, row-major:  C_mn = beta C_mn + sum_k op(A)_mk op(B)_kn,  op(X) = X or X^T.
// `a`, `b`, `c` point at the first stored element, `lda`.. are distances between stored rows. beta = 0 never
// reads C. The parallel forms cut C into tiles chosen from the sizes alone: the same bits at any thread
// count.
#pragma once

#include "engine/scratch.hpp"

#include <cstdint>

namespace rmoe {

enum class Trans : bool { no, yes };

/// A right factor op(B) [k,n], in the order in which products read it, for use in several of them.
template <class T>
class PackedMatrix {
 public:
  PackedMatrix(int64_t k, int64_t n);
  /// B has `columns` <= n columns; the rest become zeros.
  void pack(Trans tb, const T* b, int64_t ldb, int64_t columns) const;

  int64_t k() const { return k_; }
  int64_t n() const { return n_; }
  const T* data() const { return data_.data(); }

 private:
  int64_t k_, n_;
  Scratch<T> data_;
};

/// Rows [row, row + rows) and columns [column, column + columns) of a right factor. `column` is 0 or, if the
/// factor's n is a multiple of kWindow, a multiple of 16.
struct Window {
  int64_t row, rows, column, columns;
};
constexpr int64_t kWindow = 64;

/// C [m, columns] = beta C + op(A) [m, rows] times a window of B, in the calling thread: the block that fused
/// kernels are built from. bias_n, if there is one, is added to every row.
template <class T>
void gemm_serial(Trans ta, int64_t m, const T* a, int64_t lda, const PackedMatrix<T>& b, const Window& window,
                 T beta, T* c, int64_t ldc, const T* bias = nullptr);

/// While it lives, the parallel products of fp32 called in this thread round their factors to bf16, or do
/// not. Sums, and what is added to them, stay fp32. gemm_serial, which attention is built from, never rounds.
class Bf16Products {
 public:
  explicit Bf16Products(bool on);
  ~Bf16Products();
  Bf16Products(const Bf16Products&) = delete;
  static bool on();

 private:
  bool before_;
};

/// One product in the calling thread. A B of whole vectors is read where it is.
template <class T>
void gemm_serial(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
                 int64_t ldb, T beta, T* c, int64_t ldc);

/// One product by all threads; bias_n, if there is one, is added to every row.
template <class T>
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc, const T* bias = nullptr);

/// `batch` products; matrix i starts i * stride elements behind the first.
template <class T>
void gemm_batched(int64_t batch, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda,
                  int64_t stride_a, const T* b, int64_t ldb, int64_t stride_b, T beta, T* c, int64_t ldc,
                  int64_t stride_c);

/// Rows grouped by expert: rows [offsets[e], offsets[e+1]) of A [M, k] times op(B_e) into the same rows of C
/// [M, n]. B is stacked [E, n, k] if tb, else [E, k, n], a bias [E, n]; offsets has E + 1 entries.
template <class T>
void gemm_grouped(int64_t experts, const int32_t* offsets, Trans tb, int64_t n, int64_t k, const T* a,
                  const T* b, T beta, T* c, const T* bias = nullptr);

/// The weight gradient of the above: C_e [m, n] = beta C_e + A_e^T B_e over the rows of group e, A [M, m], B
/// [M, n].
template <class T>
void gemm_grouped_reduce(int64_t experts, const int32_t* offsets, int64_t m, int64_t n, const T* a,
                         const T* b, T beta, T* c);

}  // namespace rmoe
