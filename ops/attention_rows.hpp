// What the CPU kernels of the attention ops share: how their work is cut, and the softmax of one row of
// scores.
#pragma once

#include "engine/gemm.hpp"
#include "engine/math.hpp"
#include "engine/reduce.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace rmoe::cpu {

/// Queries per block: their scores against `width` keys stay within most of an L2 cache, and the keys outside
/// the triangle or band that a block of queries computes for nothing stay few.
inline int64_t queries_per_block(int64_t width) {
  constexpr int64_t kScores = 192 * 1024, kLeast = 16, kMost = 64;
  return std::clamp(std::min(kScores / std::max<int64_t>(width, 1), width / 4) / 16 * 16, kLeast, kMost);
}

/// How many pieces each of `heads` heads is cut into for there to be tasks enough, each of one block at
/// least.
inline int64_t parts_per_head(int64_t heads, int64_t blocks) {
  constexpr int64_t kEnoughTasks = 16;
  const int64_t wanted = (kEnoughTasks + heads - 1) / std::max<int64_t>(heads, 1);
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(blocks, 1));
}

constexpr int64_t kAligned = 16;  // columns of a product: whole vectors of any kind

/// Rows of a block that enter products together: less than the block, so that what the mask leaves out at its
/// edges, which a product cannot, is little. Scores are whole vectors for every group.
constexpr int64_t kGroup = kAligned;

inline int64_t whole(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/// Rows [count, D] of one head, packed both ways: against queries [D, count], against scores [count, D].
template <class T>
struct PackedKeys {
  PackedKeys(int64_t count, int64_t D, bool queries, bool scores)
      : of_queries(queries ? D : 0, whole(count, kWindow)),
        of_scores(scores ? count : 0, whole(D, kAligned)) {}
  void pack(const T* x, int64_t stride, int64_t count, int64_t D) const {
    if (of_queries.k() > 0) of_queries.pack(Trans::yes, x, stride, count);
    if (of_scores.k() > 0) of_scores.pack(Trans::no, x, stride, D);
  }
  PackedMatrix<T> of_queries, of_scores;
};

/// Where the parts of one head leave their share of a gradient `into` [n]: in place if there is one part,
/// else in buffers that finish() adds up in order. A null `into` is not wanted.
template <class T>
class PartSums {
 public:
  PartSums(T* into, int64_t parts, int64_t n)
      : into_(into), parts_(parts), n_(n), partials_(into && parts > 1 ? parts * n : 0) {}

  T* part(int64_t i) const { return parts_ > 1 ? partials_.data() + i * n_ : into_; }
  void finish() const {
    if (into_ && parts_ > 1) sum_partials(into_, T(0), partials_.data(), parts_, n_);
  }

 private:
  T* into_;
  int64_t parts_, n_;
  Scratch<T> partials_;
};

template <class T>
struct SoftmaxRow {
  T lse, inverse_sum;
};

/// x_j = exp(x_j - max x): softmax but for the factor inverse_sum, and the logarithm of the sum of exp x.
template <class T>
SoftmaxRow<T> exp_row(T* x, int64_t n) {
  T most = x[0];
#pragma omp simd reduction(max : most)
  for (int64_t j = 0; j < n; ++j) most = x[j] > most ? x[j] : most;  // std::max would not vectorise
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    x[j] = math::exp(x[j] - most);
    sum += x[j];
  }
  return {most + std::log(sum), T(1) / sum};
}

/// Backward of a row of p = softmax(s), of which keep_j p_j was used: from the scores s in `p` and the
/// gradient of keep_j p_j in `ds` it leaves keep_j p_j in `p` and the gradient of s in `ds`. delta = sum_j
/// ds_j keep_j p_j. Without dropout `keep` is null.
template <class T>
void softmax_row_backward(T* p, T* ds, const T* keep, int64_t n, T lse, T delta) {
  if (!keep) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      p[j] = math::exp(p[j] - lse);
      ds[j] = p[j] * (ds[j] - delta);
    }
    return;
  }
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const T probability = math::exp(p[j] - lse);
    p[j] = keep[j] * probability;
    ds[j] = probability * (keep[j] * ds[j] - delta);
  }
}

/// y_rd = scale x_rd for D contiguous of every `stride` elements.
template <class T>
void copy_rows(T* y, const T* x, int64_t stride, int64_t rows, int64_t D, T scale) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < D; ++d) y[r * D + d] = scale * x[r * stride + d];
}

/// y_rd = scale_r x_rd, rows of x `from` apart and those of y `to`.
template <class T>
void scale_rows(T* y, int64_t to, const T* x, int64_t from, const T* scale, int64_t rows, int64_t D) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < D; ++d) y[r * to + d] = scale[r] * x[r * from + d];
}

/// delta_r = sum_d dy_rd y_rd: what the softmax gradient subtracts, for both have rows `stride` apart.
template <class T>
void row_products(T* delta, const T* dy, const T* y, int64_t stride, int64_t rows, int64_t D) {
  for (int64_t r = 0; r < rows; ++r) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < D; ++d) sum += dy[r * stride + d] * y[r * stride + d];
    delta[r] = sum;
  }
}

}  // namespace rmoe::cpu
