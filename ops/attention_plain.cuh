// What the fp32 kernels of both attentions share; they also take bf16 heads too wide for the tensor-core
// kernels. A block owns kRows rows of one head, queries or keys, kWarpRows to a warp; those they meet, the
// columns, stream by in steps of kColumns, one per lane. Rows, columns and sums lie in shared memory as fp32:
// a head of any size that fits. Sums are taken step by step in one order.
#pragma once

#include "engine/cuda/check.hpp"
#include "engine/cuda/context.hpp"
#include "engine/cuda/kernel_types.cuh"
#include "engine/cuda/scratch.hpp"
#include "engine/cuda/warp.cuh"

namespace rmoe::cuda::plain {

constexpr int kWarps = 4, kWarpRows = 4, kRows = kWarps * kWarpRows, kColumns = kLanes;
constexpr int kThreadsPerBlock = kWarps * kLanes, kBlocksPerSm = 4;  // 128 registers at most

/// The vectors [D] of one head at successive positions, `stride` elements apart.
template <class T>
struct Head {
  T* data;
  int64_t stride;
  int count;
};

/// Head h of x [B, count, H*D].
template <class T>
HOST_DEVICE Head<T> head_of(T* x, int64_t b, int64_t h, int64_t count, int64_t H, int64_t D) {
  return {x + (b * count * H + h) * D, H * D, int(count)};
}

/// Odd, so that the lanes of a warp read one element of 32 successive vectors from 32 banks.
HOST_DEVICE int pitch_of(int D) { return D | 1; }

DEVICE int first_row_of_warp() { return int(threadIdx.x) / kLanes * kWarpRows; }
DEVICE int lane() { return threadIdx.x % kLanes; }

/// to[i] = scale head[first + i] for i < many, zero outside the head.
template <class T>
DEVICE void load(float* to, int pitch, const Head<T>& head, int first, int many, int D, float scale = 1.0f) {
  for (int i = threadIdx.x / kLanes; i < many; i += kWarps) {
    const int position = first + i;
    const bool inside = position >= 0 && position < head.count;
    for (int d = lane(); d < D; d += kLanes)
      to[i * pitch + d] = inside ? scale * to_float(head.data[position * head.stride + d]) : 0.0f;
  }
}

DEVICE void clear(float* to, int n) {
  for (int i = threadIdx.x; i < n; i += kThreadsPerBlock) to[i] = 0.0f;
}

/// x_r = rows_r . columns_lane for the rows of this warp.
DEVICE void multiply(float (&x)[kWarpRows], const float* rows, const float* columns, int D) {
  const float* row = rows + first_row_of_warp() * D;
  const float* column = columns + lane() * pitch_of(D);
  UNROLL for (int r = 0; r < kWarpRows; ++r) x[r] = 0.0f;
  for (int d = 0; d < D; ++d) UNROLL for (int r = 0; r < kWarpRows; ++r) x[r] += row[r * D + d] * column[d];
}

/// weights [kRows, kColumns] of this warp's rows: one per lane and row.
DEVICE void share(float* weights, const float (&x)[kWarpRows]) {
  __syncwarp();  // the last ones are used
  UNROLL for (int r = 0; r < kWarpRows; ++r) weights[(first_row_of_warp() + r) * kColumns + lane()] = x[r];
  __syncwarp();
}

/// sums_rd = keep_r sums_rd + sum_c weights_rc of(r, c, d) for the rows of this warp; sums [kRows, D].
template <class F>
DEVICE void accumulate(float* sums, const float (&keep)[kWarpRows], const float* weights, int D, F of) {
  const int row = first_row_of_warp();
  for (int d = lane(); d < D; d += kLanes) {
    float sum[kWarpRows];
    UNROLL for (int r = 0; r < kWarpRows; ++r) sum[r] = keep[r] * sums[(row + r) * D + d];
    for (int c = 0; c < kColumns; ++c)
      UNROLL for (int r = 0; r < kWarpRows; ++r) sum[r] +=
          weights[(row + r) * kColumns + c] * of(row + r, c, d);
    UNROLL for (int r = 0; r < kWarpRows; ++r) sums[(row + r) * D + d] = sum[r];
  }
}

/// sums_rd += sum_c weights_rc columns_cd
DEVICE void accumulate(float* sums, const float* weights, const float* columns, int D) {
  const float all[kWarpRows] = {1.0f, 1.0f, 1.0f, 1.0f};
  const int pitch = pitch_of(D);
  accumulate(sums, all, weights, D, [=](int, int c, int d) { return columns[c * pitch + d]; });
}

/// head[first + r] = scale_r sums_r for the rows of this warp.
template <class T>
DEVICE void store(const Head<T>& head, int first, const float* sums, int D, const float (&scale)[kWarpRows]) {
  for (int r = 0; r < kWarpRows; ++r) {
    const int row = first_row_of_warp() + r, position = first + row;
    if (position >= head.count) return;
    for (int d = lane(); d < D; d += kLanes)
      head.data[position * head.stride + d] = from_float<T>(scale[r] * sums[row * D + d]);
  }
}
template <class T>
DEVICE void store(const Head<T>& head, int first, const float* sums, int D, float scale) {
  const float all[kWarpRows] = {scale, scale, scale, scale};
  store(head, first, sums, D, all);
}

/// The softmax of this warp's rows over the columns seen so far: maxima in every lane, sums each lane's own.
struct Softmax {
  float most[kWarpRows], sum[kWarpRows];

  DEVICE Softmax() { UNROLL for (int r = 0; r < kWarpRows; ++r) most[r] = -INFINITY, sum[r] = 0.0f; }
  /// s = exp(s - most); what was summed before shrinks by `keep`. Every row has met a finite score by then.
  DEVICE void step(float (&s)[kWarpRows], float (&keep)[kWarpRows]) {
    UNROLL for (int r = 0; r < kWarpRows; ++r) {
      const float top = warp_reduce<Max>(fmaxf(most[r], s[r]));
      keep[r] = expf(most[r] - top);
      s[r] = expf(s[r] - top);
      most[r] = top;
      sum[r] = keep[r] * sum[r] + s[r];
    }
  }
  /// After the last column: inverse_r = 1 / sum_r, and lse[first + r] for those of the rows before `count`.
  DEVICE void finish(float (&inverse)[kWarpRows], float* lse, int first, int count) const {
    UNROLL for (int r = 0; r < kWarpRows; ++r) {
      const float total = warp_reduce<Sum>(sum[r]);
      inverse[r] = 1.0f / total;
      if (lane() == 0 && first + r < count) lse[first + r] = most[r] + logf(total);
    }
  }
};

/// One block for each of `blocks` pieces of work, with `floats` of shared memory; nothing for none.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), int64_t blocks, int64_t floats, const Args&... args) {
  if (blocks == 0) return;
  const int bytes = int(floats * int64_t(sizeof(float)));
  CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  LAUNCH(kernel, unsigned(blocks), kThreadsPerBlock, bytes, stream(), args...);
}

inline int64_t pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }

}  // namespace rmoe::cuda::plain
