// The serial matrix product behind engine/gemm: one table of functions per instruction set, made from the
// same source (gemm_kernel.inl), chosen when the program runs.
//
// Every element of C is one chain of fused multiply-adds over k in order, cut into blocks of kDepth: its bits
// do not depend on how the product is cut into tiles, nor on the other rows and columns.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

namespace rmoe::gemm_kernel {

/// Two neighbours along k rounded to bf16, the earlier one in the low half. In a product of pairs k counts
/// pairs; it sums in fp32, of each pair the later product first: what AVX-512's vdpbf16ps does. Other kernels
/// round the same way, except that it takes numbers below 1.2e-38 for 0.
using Pair = uint32_t;

/// What products of T are added up in.
template <class T>
using sum_t = std::conditional_t<std::is_same_v<T, Pair>, float, T>;

template <class T>
constexpr int64_t kDepth = std::is_same_v<T, Pair> ? 256 : 512;  // of k in one block
constexpr int64_t kTileRows = 6;

/// C_mn = beta C_mn + bias_n + sum_k A_mk B_kn for a packed B, rows k of [first, first + k) of it and columns
/// n of [begin, end).
template <class T>
struct Product {
  int64_t m, k;
  int64_t first = 0;               // A begins there: its element [m,0] meets row `first` of B
  int64_t begin = 0, end;          // begin: next_panel
  const T* a;                      // [m,k], or [k,m] if transposed
  int64_t lda;                     // between stored rows
  bool transposed = false;         // A is
  const T* b;                      // packed, from its first column
  int64_t packed_k, packed_n;      // its size when it was packed
  int64_t ldb = 0;                 // not packed: B as it is stored, whole vectors wide, rows so far apart
  sum_t<T> beta;                   // 0 never reads C
  const sum_t<T>* bias = nullptr;  // from the first column, as c
  sum_t<T>* c;
  int64_t ldc;
};

template <class T>
struct Kernel {
  const char* name;
  int64_t lanes;  // of a vector; columns are packed in multiples of it
  /// Columns [begin, end) of op(B) [k,n]; begin is where a panel begins: 0, or what next_panel returned. B
  /// has `columns` columns, the rest become zeros.
  void (*pack)(T* packed, bool transposed, int64_t k, int64_t n, const T* b, int64_t ldb, int64_t columns,
               int64_t begin, int64_t end);
  /// First column of the panel behind the one that begins at `column`; if n is a multiple of kWindow, behind
  /// the one that has it.
  int64_t (*next_panel)(int64_t n, int64_t column);
  void (*multiply)(const Product<T>& product);

  int64_t packed_size(int64_t k, int64_t n) const { return k * ((n + lanes - 1) / lanes * lanes); }
};

/// The kernels this machine can run, best first.
template <class T>
std::span<const Kernel<T>* const> available();

/// One per instruction set; null in a build for another kind of processor.
template <class T>
const Kernel<T>* avx512();
const Kernel<Pair>* avx512_bf16();
template <class T>
const Kernel<T>* avx2();
template <class T>
const Kernel<T>* portable();

}  // namespace rmoe::gemm_kernel
