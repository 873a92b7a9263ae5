// The source of every kernel; the file that includes it says for which vectors:
//   RMOE_KERNEL        name of its function in gemm_kernel.hpp
//   RMOE_VECTOR_BYTES  of one vector
//   RMOE_MOST_VECTORS  width of a panel: kTileRows times as many accumulators fit the registers
//   RMOE_BF16          if there is vdpbf16ps: this file is then about pairs alone
// It calls nothing of the standard library, whose inline functions another file may have compiled for less.
#include "engine/gemm_kernel.hpp"

#include <utility>

namespace rmoe::gemm_kernel {
namespace {

template <class T>
constexpr int kLanes = RMOE_VECTOR_BYTES / int(sizeof(T));
template <class T>
using Vector [[gnu::vector_size(RMOE_VECTOR_BYTES), gnu::may_alias]] = T;
template <class T>
using Unaligned [[gnu::vector_size(RMOE_VECTOR_BYTES), gnu::may_alias, gnu::aligned(sizeof(T))]] = T;

constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
Vector<T> load(const T* p) {
  return *reinterpret_cast<const Unaligned<T>*>(p);
}
template <class T, class V>
void store(T* p, V x) {
  *reinterpret_cast<Unaligned<T>*>(p) = x;
}

/// Vectors in the next panel of `left`: as wide as may be, but a narrow one is slow, so that 5, 6 and 9 are
/// cut into threes.
constexpr int64_t panel_width(int64_t left) {
  if (left <= RMOE_MOST_VECTORS) return left;
  return RMOE_MOST_VECTORS == 4 && (left == 5 || left == 6 || left == 9) ? 3 : RMOE_MOST_VECTORS;
}

template <class T>
int64_t vectors(int64_t columns) {
  return (columns + kLanes<T> - 1) / kLanes<T>;
}

// --- Packing B: for each block of k, for each panel, [k][width of the panel] ---

/// Rows i and i + H of a square exchange their off-diagonal blocks of size H.
template <int H, class V, int... I>
void exchange(V& a, V& b, std::integer_sequence<int, I...>) {
  constexpr int L = sizeof...(I);
  const V low = __builtin_shufflevector(a, b, ((I & H) ? I - H + L : I)...);
  b = __builtin_shufflevector(a, b, ((I & H) ? I + L : I + H)...);
  a = low;
}

template <int H, class T>
void transpose_square(Vector<T>* rows) {
  if constexpr (H > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i)
      if (!(i & H)) exchange<H>(rows[i], rows[i + H], std::make_integer_sequence<int, kLanes<T>>());
    transpose_square<H / 2, T>(rows);
  }
}

/// to[i * stride + j] = b[j * ldb + i] for `depth` values of i and one vector of j, of which `columns` exist.
template <class T>
void pack_transposed(T* to, int64_t stride, const T* b, int64_t ldb, int64_t depth, int64_t columns) {
  constexpr int L = kLanes<T>;
  int64_t i = 0;
  if (columns >= L)
    for (; i + L <= depth; i += L) {
      Vector<T> square[L];
#pragma GCC unroll 16
      for (int j = 0; j < L; ++j) square[j] = load(b + j * ldb + i);
      transpose_square<L / 2, T>(square);
#pragma GCC unroll 16
      for (int j = 0; j < L; ++j) store(to + (i + j) * stride, square[j]);
    }
  for (; i < depth; ++i)
    for (int64_t j = 0; j < L; ++j) to[i * stride + j] = j < columns ? b[j * ldb + i] : T(0);
}

template <class T>
void pack_straight(T* to, int64_t stride, const T* b, int64_t ldb, int64_t depth, int64_t columns) {
  constexpr int L = kLanes<T>;
  if (columns >= L)
    for (int64_t i = 0; i < depth; ++i) store(to + i * stride, load(b + i * ldb));
  else
    for (int64_t i = 0; i < depth; ++i)
      for (int64_t j = 0; j < L; ++j) to[i * stride + j] = j < columns ? b[i * ldb + j] : T(0);
}

/// Are all panels of n columns as wide as may be?
template <class T>
bool even_panels(int64_t n) {
  return vectors<T>(n) % RMOE_MOST_VECTORS == 0;
}

/// The panel that holds `column`, which is its first one unless panels are even.
template <class T>
struct Panel {
  int64_t begin, end;
};
template <class T>
Panel<T> panel_at(int64_t n, int64_t column) {
  constexpr int64_t L = kLanes<T>, kMost = RMOE_MOST_VECTORS * L;
  if (even_panels<T>(n)) return {column / kMost * kMost, (column / kMost + 1) * kMost};
  return {column, column + panel_width(vectors<T>(n) - column / L) * L};
}

template <class T>
int64_t next_panel(int64_t n, int64_t column) {
  return panel_at<T>(n, column).end;
}

template <class T>
void pack(T* packed, bool transposed, int64_t k, int64_t n, const T* b, int64_t ldb, int64_t columns,
          int64_t begin, int64_t end) {
  constexpr int64_t L = kLanes<T>;
  const int64_t padded_n = vectors<T>(n) * L;
  for (int64_t k0 = 0; k0 < k; k0 += kDepth<T>) {
    const int64_t depth = least(kDepth<T>, k - k0);
    for (int64_t j = begin, next; j < end; j = next) {
      next = next_panel<T>(n, j);
      T* panel = packed + k0 * padded_n + j * depth;
      for (int64_t column = j; column < next; column += L) {
        T* to = panel + column - j;
        if (transposed)
          pack_transposed(to, next - j, b + column * ldb + k0, ldb, depth, columns - column);
        else
          pack_straight(to, next - j, b + k0 * ldb + column, ldb, depth, columns - column);
      }
    }
  }
}

// --- The product ---

/// The first row of tile t. Tiles are even, since a thin one is slow.
inline int64_t row_of_tile(int64_t m, int64_t tiles, int64_t t) {
  return m / tiles * t + least(t, m % tiles);
}

/// A tile: rows of A (of a transposed one the first, for each k), and where in C it goes.
template <class T>
struct Tile {
  const T* a[kTileRows];
  int64_t lda;
  int64_t ldb;
  sum_t<T>* c;
  int64_t ldc, columns;
  sum_t<T> beta;
  const sum_t<T>* bias;
};

/// x + beta c + bias, as far as the columns reach.
template <class T, int kWidth>
[[gnu::always_inline]] inline void store_row(const Tile<T>& to, int64_t r,
                                             const Vector<sum_t<T>> (&x)[kWidth]) {
  using S = sum_t<T>;
  constexpr int L = kLanes<T>;
  S* c = to.c + r * to.ldc;
  if (to.columns >= kWidth * L) {
#pragma GCC unroll 8
    for (int v = 0; v < kWidth; ++v) {
      Vector<S> y = x[v];
      if (to.bias) y += load(to.bias + v * L);
      if (to.beta != S(0)) y += to.beta * load(c + v * L);
      store(c + v * L, y);
    }
    return;
  }
  S row[kWidth * L];
  for (int v = 0; v < kWidth; ++v) store(row + v * L, x[v]);
  for (int64_t j = 0; j < to.columns; ++j) {
    const S y = to.bias ? row[j] + to.bias[j] : row[j];
    c[j] = to.beta != S(0) ? y + to.beta * c[j] : y;
  }
}

template <class T>
[[gnu::always_inline]] inline Vector<sum_t<T>> multiply_add(Vector<T> a, Vector<T> b, Vector<sum_t<T>> sum) {
  if constexpr (!std::is_same_v<T, Pair>) {
    return sum + a * b;
  } else {
#ifdef RMOE_BF16
    return Vector<float>(_mm512_dpbf16_ps(__m512(sum), __m512bh(a), __m512bh(b)));
#else
    constexpr Pair kLater = 0xffff0000u;
    sum += Vector<float>(a & kLater) * Vector<float>(b & kLater);
    return sum + Vector<float>(a << 16) * Vector<float>(b << 16);
#endif
  }
}

/// Rows of k ahead of the product that a transposed A and its B are asked for: they lie far apart, where the
/// processor does not foresee them.
constexpr int64_t kAhead = 12;

template <class T, bool kTransposed, int kRows, int kWidth>
void multiply_tile(int64_t depth, const T* panel, const Tile<T>& tile) {
  constexpr int L = kLanes<T>;
  const T* a[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) a[r] = tile.a[kTransposed ? 0 : r];
  const int64_t lda = tile.lda, ldb = tile.ldb;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kWidth; ++v) __builtin_prefetch(tile.c + r * tile.ldc + v * L, 1);
  Vector<sum_t<T>> sum[kRows][kWidth] = {};
  for (int64_t i = 0; i < depth; ++i) {
    Vector<T> b[kWidth];
    if (kTransposed) {
      __builtin_prefetch(a[0] + (i + kAhead) * lda);
#pragma GCC unroll 8
      for (int v = 0; v < kWidth; ++v) __builtin_prefetch(panel + (i + kAhead) * ldb + v * L);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kWidth; ++v) b[v] = load(panel + i * ldb + v * L);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> x = (kTransposed ? a[0][i * lda + r] : a[r][i]) - Vector<T>{};
#pragma GCC unroll 8
      for (int v = 0; v < kWidth; ++v) sum[r][v] = multiply_add<T>(x, b[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) store_row<T, kWidth>(tile, r, sum[r]);
}

template <class T>
using TileFunction = void (*)(int64_t, const T*, const Tile<T>&);

/// All sizes of a tile, at [rows - 1][width - 1].
template <class T, bool kTransposed, int... I>
TileFunction<T> tile_function(int64_t rows, int64_t width, std::integer_sequence<int, I...>) {
  static constexpr TileFunction<T> table[] = {
      multiply_tile<T, kTransposed, I / RMOE_MOST_VECTORS + 1, I % RMOE_MOST_VECTORS + 1>...};
  return table[(rows - 1) * RMOE_MOST_VECTORS + width - 1];
}

template <class T>
TileFunction<T> tile_function(bool transposed, int64_t rows, int64_t width) {
  constexpr auto sizes = std::make_integer_sequence<int, kTileRows * RMOE_MOST_VECTORS>();
  return transposed ? tile_function<T, true>(rows, width, sizes)
                    : tile_function<T, false>(rows, width, sizes);
}

/// A part of the sum: rows [from, to) of B, which lie in one packed block.
struct Depth {
  int64_t from, to;
};

/// Tile t of `tiles` by the panel that has column j, in one block of k. Returns the first column behind it.
template <class T>
int64_t multiply_panel(const Product<T>& p, int64_t tiles, int64_t t, int64_t j, Depth k) {
  constexpr int64_t L = kLanes<T>;
  const int64_t row = row_of_tile(p.m, tiles, t), rows = row_of_tile(p.m, tiles, t + 1) - row;
  const int64_t at = k.from - p.first, block = k.from / kDepth<T> * kDepth<T>;
  const Panel<T> panel = panel_at<T>(p.packed_n, j);
  Tile<T> tile{{}, p.lda, p.ldb, p.c + row * p.ldc + j - p.begin, p.ldc, p.end - j, p.beta, nullptr};
  if (at > 0) tile.beta = 1;
  if (at == 0 && p.bias) tile.bias = p.bias + j - p.begin;
  if (p.transposed)
    tile.a[0] = p.a + at * p.lda + row;
  else
    for (int64_t r = 0; r < rows; ++r) tile.a[r] = p.a + (row + r) * p.lda + at;
  const T* b = p.b + k.from * p.ldb + j;
  if (p.ldb == 0) {
    tile.ldb = panel.end - panel.begin;
    b += block * vectors<T>(p.packed_n) * L + panel.begin * least(kDepth<T>, p.packed_k - block) +
         (k.from - block) * tile.ldb - panel.begin;
  }
  const int64_t width = least(panel.end - j, vectors<T>(tile.columns) * L) / L;
  tile_function<T>(p.transposed, rows, width)(k.to - k.from, b, tile);
  return panel.end;
}

/// All rows by the panels [first, last) of one block of k. A panel that fits the first-level cache stays
/// there for all rows; else a tile's rows of A do for all panels.
template <class T>
void multiply_block(const Product<T>& p, int64_t first, int64_t last, Depth k) {
  constexpr int64_t kCached = 5 * 1024;  // numbers
  const int64_t tiles = (p.m + kTileRows - 1) / kTileRows;
  const bool panels_stay = (k.to - k.from) * RMOE_MOST_VECTORS * kLanes<T> <= kCached;
  if (panels_stay)
    for (int64_t j = first, next = j; j < last; j = next)
      for (int64_t t = 0; t < tiles; ++t) next = multiply_panel(p, tiles, t, j, k);
  else
    for (int64_t t = 0; t < tiles; ++t)
      for (int64_t j = first; j < last;) j = multiply_panel(p, tiles, t, j, k);
}

template <class T>
void multiply(const Product<T>& p) {
  constexpr int64_t kCached = 96 * 1024;  // numbers of B that stay in the second-level cache
  Depth k{p.first, p.first};
  do {
    k = {k.to, least((k.to / kDepth<T> + 1) * kDepth<T>, p.first + p.k)};
    for (int64_t first = p.begin, last = first; first < p.end; first = last) {
      while (last < p.end && (last == first || (last - first) * (k.to - k.from) < kCached))
        last = next_panel<T>(p.packed_n, last);
      multiply_block(p, first, last, k);
    }
  } while (k.to < p.first + p.k);
}

template <class T>
constexpr Kernel<T> kKernel{RMOE_KERNEL_NAME, kLanes<T>, pack<T>, next_panel<T>, multiply<T>};

}  // namespace

#ifdef RMOE_BF16
const Kernel<Pair>* RMOE_KERNEL() { return &kKernel<Pair>; }
#else
template <>
const Kernel<float>* RMOE_KERNEL<float>() {
  return &kKernel<float>;
}
template <>
const Kernel<double>* RMOE_KERNEL<double>() {
  return &kKernel<double>;
}
template <>
const Kernel<Pair>* RMOE_KERNEL<Pair>() {
  return &kKernel<Pair>;
}
#endif

}  // namespace rmoe::gemm_kernel
