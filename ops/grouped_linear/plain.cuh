// The grouped products for any type and any size, by fp32 multiply-adds: 64 x 64 of the result per block, 4 x
// 4 per thread, both operands through shared memory 16 values of k at a time. What the tensor cores cannot
// take (float, widths that are not multiples of eight) comes here.
#pragma once

#include "engine/cuda/kernel_types.cuh"
#include "ops/grouped_linear/groups.cuh"

namespace rmoe::cuda::plain {

constexpr int kTile = 64, kDepth = 16, kSide = 16, kThreads = kSide * kSide, kEach = kTile / kSide;

/// One operand: elements (i, k) for i < count, k < depth, zero outside. Where k runs along the rows of the
/// matrix, (i, k) is its element i stride + k, otherwise k stride + i.
template <class T, bool kAlongRows>
struct Operand {
  const T* matrix;
  int64_t stride;
  int count, depth;

  DEVICE void load(float (&tile)[kDepth][kTile + 1], int first, int k0) const {
    for (int n = threadIdx.x; n < kTile * kDepth; n += kThreads) {
      const int row = kAlongRows ? n / kDepth : n % kTile, column = kAlongRows ? n % kDepth : n / kTile;
      const int i = first + row, k = k0 + column;
      const bool inside = i < count && k < depth;
      tile[column][row] = inside ? to_float(matrix[kAlongRows ? i * stride + k : k * stride + i]) : 0.0f;
    }
  }
};

using Sums = float[kEach][kEach];

/// sums_ij += sum_k A(i, k) B(j, k); the thread's i are first_i + threadIdx / 16 + 16 a, its j alike.
template <class A, class B>
DEVICE void multiply(Sums& sums, const A& a, const B& b, int first_i, int first_j) {
  SHARED(float[kDepth][kTile + 1], tile_a);
  SHARED(float[kDepth][kTile + 1], tile_b);
  const int row = threadIdx.x / kSide, column = threadIdx.x % kSide;
  for (int k0 = 0; k0 < a.depth; k0 += kDepth) {
    a.load(tile_a, first_i, k0);
    b.load(tile_b, first_j, k0);
    __syncthreads();
    UNROLL for (int k = 0; k < kDepth; ++k) UNROLL for (int i = 0; i < kEach; ++i)
        UNROLL for (int j = 0; j < kEach; ++j) sums[i][j] +=
        tile_a[k][row + i * kSide] * tile_b[k][column + j * kSide];
    __syncthreads();  // before the next tile is loaded
  }
}

/// y_mj = beta y_mj + bias_ej + sum_k x_mk B_e(j, k) for the rows m of expert e: w_e is [columns, depth], or
/// [depth, columns] if not kWeightAlongRows.
template <class T, bool kWeightAlongRows>
__global__ void __launch_bounds__(kThreads) rows_kernel(T* y, const T* x, const T* w, const T* bias,
                                                        Groups groups, int columns, int depth, float beta) {
  const int column_tiles = (columns + kTile - 1) / kTile, first_j = int(blockIdx.x) % column_tiles * kTile;
  const RowTile tile = find_row_tile(groups, int(blockIdx.x) / column_tiles, kTile);
  const bool owned = tile.group < groups.E;
  Sums sums = {};
  if (owned) {
    const Operand<T, true> a{x + int64_t(tile.begin) * depth, depth, tile.end - tile.begin, depth};
    const T* expert = w + int64_t(tile.group) * columns * depth;
    const Operand<T, kWeightAlongRows> b{expert, kWeightAlongRows ? depth : columns, columns, depth};
    multiply(sums, a, b, 0, first_j);
  }
  for (int i = 0; i < kEach; ++i)
    for (int j = 0; j < kEach; ++j) {
      const int m = tile.begin + threadIdx.x / kSide + i * kSide;
      const int column = first_j + threadIdx.x % kSide + j * kSide;
      if (m >= tile.end || column >= columns) continue;
      const float add = bias && owned ? to_float(bias[int64_t(tile.group) * columns + column]) : 0.0f;
      put(y[int64_t(m) * columns + column], sums[i][j] + add, beta);
    }
}

/// dw_efc = beta dw_efc + sum_m dy_mf x_mc over the rows m of expert e = blockIdx.z.
template <class T>
__global__ void __launch_bounds__(kThreads)
    weights_kernel(float* dw, const T* dy, const T* x, Groups groups, int F, int C, float beta) {
  const int e = blockIdx.z, begin = groups.begin(e), rows = groups.end(e) - begin;
  const int first_f = blockIdx.y * kTile, first_c = blockIdx.x * kTile;
  const Operand<T, false> a{dy + int64_t(begin) * F, F, F, rows};
  const Operand<T, false> b{x + int64_t(begin) * C, C, C, rows};
  Sums sums = {};
  multiply(sums, a, b, first_f, first_c);
  for (int i = 0; i < kEach; ++i)
    for (int j = 0; j < kEach; ++j) {
      const int f = first_f + threadIdx.x / kSide + i * kSide;
      const int c = first_c + threadIdx.x % kSide + j * kSide;
      if (f < F && c < C) put(dw[(int64_t(e) * F + f) * C + c], sums[i][j], beta);
    }
}

}  // namespace rmoe::cuda::plain
