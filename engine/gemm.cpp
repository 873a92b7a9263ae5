#include "engine/gemm.hpp"

#include "engine/parallel.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <vector>

namespace rmoe {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Map = Eigen::Map<Matrix<T>, 0, Eigen::OuterStride<>>;
template <class T>
using ConstMap = Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>;

struct Tile {
  int64_t m, n;
};

constexpr int64_t kLeastTile = 96;  // below this packing costs more than the product
constexpr int64_t kMostRows = 256;  // one A panel and one B panel of such a tile stay in L2
constexpr int64_t kMostColumns = 512;
constexpr int64_t kEnoughTasks = 16;

int64_t tiles(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }
int64_t half(int64_t size) { return (size / 2 + 15) / 16 * 16; }

/// Halves the longer side until there are enough tiles to share out.
Tile choose_tile(int64_t m, int64_t n, int64_t others = 1) {
  Tile t{std::min(m, kMostRows), std::min(n, kMostColumns)};
  while (tiles(m, t.m) * tiles(n, t.n) * others < kEnoughTasks && std::max(t.m, t.n) >= 2 * kLeastTile)
    (t.m >= t.n ? t.m : t.n) = half(std::max(t.m, t.n));
  return t;
}

template <class T, class A, class B>
void product(Map<T> c, const A& a, const B& b, T beta) {
  if (beta == T(0)) {
    c.noalias() = a * b;
  } else {
    if (beta != T(1)) c *= beta;
    c.noalias() += a * b;
  }
}

}  // namespace

template <class T>
void gemm_serial(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
                 int64_t ldb, T beta, T* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  const bool at = ta == Trans::yes, bt = tb == Trans::yes;
  const ConstMap<T> A(a, at ? k : m, at ? m : k, Eigen::OuterStride<>(lda));
  const ConstMap<T> B(b, bt ? n : k, bt ? k : n, Eigen::OuterStride<>(ldb));
  const Map<T> C(c, m, n, Eigen::OuterStride<>(ldc));
  if (at && bt)
    product<T>(C, A.transpose(), B.transpose(), beta);
  else if (at)
    product<T>(C, A.transpose(), B, beta);
  else if (bt)
    product<T>(C, A, B.transpose(), beta);
  else
    product<T>(C, A, B, beta);
}

template <class T>
void gemm_batched(int64_t batch, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda,
                  int64_t stride_a, const T* b, int64_t ldb, int64_t stride_b, T beta, T* c, int64_t ldc,
                  int64_t stride_c) {
  if (batch == 0 || m == 0 || n == 0) return;
  const Tile tile = choose_tile(m, n, batch);
  const int64_t down = tiles(m, tile.m), across = tiles(n, tile.n);
  parallel_for(batch * down * across, [&](int64_t task) {
    const int64_t item = task / (down * across);
    const int64_t i = task / across % down * tile.m, j = task % across * tile.n;
    gemm_serial<T>(ta, tb, std::min(tile.m, m - i), std::min(tile.n, n - j), k,
                   a + item * stride_a + (ta == Trans::yes ? i : i * lda), lda,
                   b + item * stride_b + (tb == Trans::yes ? j * ldb : j), ldb, beta,
                   c + item * stride_c + i * ldc + j, ldc);
  });
}

template <class T>
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc) {
  gemm_batched<T>(1, ta, tb, m, n, k, a, lda, 0, b, ldb, 0, beta, c, ldc, 0);
}

template <class T>
void gemm_grouped(int64_t experts, const int32_t* offsets, Trans tb, int64_t n, int64_t k, const T* a,
                  const T* b, T beta, T* c) {
  struct Task {
    int64_t expert, begin, end;
  };
  constexpr int64_t kRows = 128;
  std::vector<Task> tasks;
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t row = offsets[e]; row < offsets[e + 1]; row += kRows)
      tasks.push_back({e, row, std::min<int64_t>(offsets[e + 1], row + kRows)});
  const int64_t ldb = tb == Trans::yes ? k : n;
  parallel_for(tasks.size(), [&](int64_t i) {
    const auto [e, begin, end] = tasks[i];
    gemm_serial<T>(Trans::no, tb, end - begin, n, k, a + begin * k, k, b + e * n * k, ldb, beta,
                   c + begin * n, n);
  });
}

template <class T>
void gemm_grouped_reduce(int64_t experts, const int32_t* offsets, int64_t m, int64_t n, const T* a,
                         const T* b, T beta, T* c) {
  if (m == 0 || n == 0) return;
  const Tile tile = choose_tile(m, n, experts);
  const int64_t down = tiles(m, tile.m), across = tiles(n, tile.n);
  parallel_for(experts * down * across, [&](int64_t task) {
    const int64_t e = task / (down * across);
    const int64_t i = task / across % down * tile.m, j = task % across * tile.n;
    const int64_t begin = offsets[e], rows = offsets[e + 1] - begin;
    gemm_serial<T>(Trans::yes, Trans::no, std::min(tile.m, m - i), std::min(tile.n, n - j), rows,
                   a + begin * m + i, m, b + begin * n + j, n, beta, c + e * m * n + i * n + j, n);
  });
}

#define RMOE_INSTANTIATE(T)                                                                               \
  template void gemm_serial<T>(Trans, Trans, int64_t, int64_t, int64_t, const T*, int64_t, const T*,      \
                               int64_t, T, T*, int64_t);                                                  \
  template void gemm<T>(Trans, Trans, int64_t, int64_t, int64_t, const T*, int64_t, const T*, int64_t, T, \
                        T*, int64_t);                                                                     \
  template void gemm_batched<T>(int64_t, Trans, Trans, int64_t, int64_t, int64_t, const T*, int64_t,      \
                                int64_t, const T*, int64_t, int64_t, T, T*, int64_t, int64_t);            \
  template void gemm_grouped<T>(int64_t, const int32_t*, Trans, int64_t, int64_t, const T*, const T*, T,  \
                                T*);                                                                      \
  template void gemm_grouped_reduce<T>(int64_t, const int32_t*, int64_t, int64_t, const T*, const T*, T, T*);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe
