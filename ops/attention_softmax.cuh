// Softmax over columns that arrive step by step, for rows that lie across the lanes as tensor cores leave
// them, and what the backward needs to know of a row: lse log2(e) and delta (attention_statistics.cuh).
#pragma once

#include "ops/attention_tiles.cuh"

namespace rmoe::cuda::tiles {

DEVICE float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
DEVICE float quad_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

/// Maximum and sum of the two rows that a lane holds of each of M tiles, over the columns seen so far. The
/// sum is of the lane's own columns until finish().
template <int M>
struct Softmax {
  float most[M][2], sum[M][2];

  DEVICE Softmax() {
    UNROLL for (int m = 0; m < M; ++m) UNROLL for (int half = 0; half < 2; ++half) most[m][half] = -INFINITY,
                                                                                   sum[m][half] = 0.0f;
  }

  /// s [16, 8 N] = 2^(scale2 (s - most)); `out`, summed with smaller maxima, shrinks to suit. Every row must
  /// have met a finite score by then.
  template <int N, int kOut>
  DEVICE void step(int m, float (&s)[N][4], float (&out)[kOut][4], float scale2) {
    UNROLL for (int half = 0; half < 2; ++half) {
      float top = most[m][half];
      UNROLL for (int n = 0; n < N; ++n) top = fmaxf(top, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      top = quad_max(top);
      const float shrink = ptx::exp2_fast((most[m][half] - top) * scale2), offset = -top * scale2;
      most[m][half] = top;
      sum[m][half] *= shrink;
      UNROLL for (int n = 0; n < kOut; ++n) out[n][2 * half] *= shrink, out[n][2 * half + 1] *= shrink;
      UNROLL for (int n = 0; n < N; ++n) UNROLL for (int e = 2 * half; e < 2 * half + 2; ++e) {
        s[n][e] = ptx::exp2_fast(fmaf(s[n][e], scale2, offset));
        sum[m][half] += s[n][e];
      }
    }
  }

  /// After the last column: to[first + r] = factor out_r / sum_r and lse[first + r] for all rows that there
  /// are.
  template <bool kWhole, int kOut>
  DEVICE void store(const Head<Element>& to, float* lse, int first, const float (&out)[M][kOut][4],
                    float factor, float scale) {
    UNROLL for (int m = 0; m < M; ++m) {
      UNROLL for (int half = 0; half < 2; ++half) {
        const float total = sum[m][half] = quad_sum(sum[m][half]);
        const int row = first + 16 * m + fragment_row() + 8 * half;
        if (row < to.count && fragment_column() == 0) lse[row] = most[m][half] * scale + logf(total);
      }
      store_rows<kWhole>(to, first + 16 * m, out[m], factor / sum[m][0], factor / sum[m][1]);
    }
  }
};

/// The statistics of the two rows that a lane holds of each of M tiles, zero behind the last row.
template <int M>
struct RowStatistics {
  float2 of[M][2];

  DEVICE RowStatistics(const float2* statistics, int first, int count) {
    UNROLL for (int m = 0; m < M; ++m) UNROLL for (int half = 0; half < 2; ++half) {
      const int row = first + 16 * m + fragment_row() + 8 * half;
      of[m][half] = row < count ? statistics[row] : make_float2(0.0f, 0.0f);
    }
  }
};

/// to[r] = statistics[first + r], zero behind `count`: harmless, for such a query and its dy are zero.
template <int kRows>
DEVICE void load_statistics(float2* to, const float2* statistics, int first, int count) {
  static_assert(kRows <= kThreadsPerBlock);
  const int row = first + int(threadIdx.x);
  if (threadIdx.x < kRows)
    ptx::cp_async<8>(to + threadIdx.x, statistics + (row < count ? row : 0), row < count);
}

}  // namespace rmoe::cuda::tiles
