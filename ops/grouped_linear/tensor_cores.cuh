// The grouped products on tensor cores: bf16 operands whose rows are multiples of eight elements and start at
// multiples of 16 bytes.
//
// Tiles of 128 x 128 by four warps of 64 x 64, two blocks per multiprocessor: one multiplies while the other
// starts a tile or stores one. For a stage of 32 values of k, shared memory then moves 48 KB in 384 of the
// 512 cycles the tensor cores need; eight warps of 64 x 32 would move 64 KB in 512. Expert widths such as 448
// and 896 are whole tiles of 112 columns but not of 128.
//
// All column tiles of a row tile are neighbours in the grid, so that its rows stay in the L2 cache. Weight
// gradients are one block per tile of the result, which walks all rows of its expert: no partial sums, one
// order. Experts with most rows come first, and the hardware hands out the rest as blocks end.
#pragma once

#include "engine/cuda/check.hpp"
#include "engine/cuda/context.hpp"
#include "engine/cuda/kernel_types.cuh"
#include "engine/cuda/scratch.hpp"
#include "engine/cuda/tile_product.cuh"
#include "ops/grouped_linear/groups.cuh"

namespace rmoe::cuda {

using WideTile = TileShape<128, 128, 2, 2, 4, 2>;
using NarrowTile = TileShape<128, 112, 2, 2, 4, 2>;

/// Does the narrower tile cover `columns` with less work left over?
inline bool prefers_narrow(int64_t columns) {
  constexpr int kWide = WideTile::kColumns, kNarrow = NarrowTile::kColumns;
  return (columns + kNarrow - 1) / kNarrow * kNarrow <= (columns + kWide - 1) / kWide * kWide;
}

/// What a block computes of a product with `columns` columns: rows of one group, columns from column0 on.
struct BlockTile : RowTile {
  int column_tile, column0;

  DEVICE int rows() const { return end - begin; }
};

template <class Tile>
DEVICE BlockTile find_tile(const Groups& groups, int columns) {
  const int column_tiles = (columns + Tile::kColumns - 1) / Tile::kColumns;
  const int column_tile = int(blockIdx.x) % column_tiles;
  return {find_row_tile(groups, int(blockIdx.x) / column_tiles, Tile::kRows), column_tile,
          column_tile * Tile::kColumns};
}

/// y_row = beta y_row + sums + bias for the fragments j to j + 3 of one row: columns `column` + 0 .. 31, of
/// which this lane stores eight. `bias` is null or begins at column 0. All lanes of the warp call it.
DEVICE void store_row(__nv_bfloat16* y_row, bool valid, const float (&low)[4], const float (&high)[4],
                      int column, int columns, float beta) {
  const int mine = column + (threadIdx.x & 3) * 8;
  valid = valid && mine < columns;
  Words old, words;
  if (beta != 0.0f) {
    if (valid) old.load(y_row + mine);
    old.transpose_in_quad();
  }
  UNROLL for (int q = 0; q < 4; ++q) {
    float first = low[q], second = high[q];
    if (beta != 0.0f) {
      first += beta * low_bf16(old.word[q]);
      second += beta * high_bf16(old.word[q]);
    }
    words.word[q] = ptx::pack_bf16(first, second);
  }
  words.transpose_in_quad();
  if (valid) words.store(y_row + mine);
}

/// The bias of columns c and c + 1; 0 behind the last.
DEVICE float2 bias_pair(const __nv_bfloat16* bias, int c, int columns) {
  return c < columns ? make_float2(to_float(bias[c]), to_float(bias[c + 1])) : make_float2(0.0f, 0.0f);
}

/// y = beta y + sums + bias for the rows of a tile; y begins at the tile's row 0 and column 0 of the matrix.
template <class Tile>
DEVICE void store_tile(__nv_bfloat16* y, const Sums<Tile>& sums, const __nv_bfloat16* bias, int rows,
                       int column0, int columns, float beta) {
  static_assert(Tile::kFragmentColumns % 4 == 0);
  const SumPlace<Tile> at;
  UNROLL for (int j = 0; j < Tile::kFragmentColumns; j += 4) {
    const int column = column0 + at.column + j * 8;
    float2 add[4];
    UNROLL for (int q = 0; q < 4; ++q) {
      add[q] = bias ? bias_pair(bias, column + q * 8 + at.quad_lane * 2, columns) : make_float2(0.0f, 0.0f);
    }
    UNROLL for (int i = 0; i < Tile::kFragmentRows; ++i) UNROLL for (int half = 0; half < 2; ++half) {
      const int row = at.row + i * 16 + half * 8;
      float low[4], high[4];
      UNROLL for (int q = 0; q < 4; ++q) {
        low[q] = sums[i][j + q][2 * half] + add[q].x;
        high[q] = sums[i][j + q][2 * half + 1] + add[q].y;
      }
      store_row(y + int64_t(row) * columns, row < rows, low, high, column, columns, beta);
    }
  }
}

/// y_mj = beta y_mj + bias_ej + sum_k x_mk w_e(j, k) for the rows m of expert e; w_e is [columns, depth], or
/// [depth, columns] with kWeightAcross. Rows that are nobody's: beta y.
template <class Tile, bool kWeightAcross>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    grouped_rows_kernel(__nv_bfloat16* y, const __nv_bfloat16* x, const __nv_bfloat16* w,
                        const __nv_bfloat16* bias, Groups groups, int columns, int depth, float beta) {
  DYN_SHARED(__nv_bfloat16, shared);
  const BlockTile tile = find_tile<Tile>(groups, columns);
  if (tile.rows() == 0) return;
  Sums<Tile> sums = {};
  const __nv_bfloat16* bias_of_expert = nullptr;
  if (tile.group < groups.E) {
    const __nv_bfloat16* expert = w + int64_t(tile.group) * columns * depth;
    if (bias) bias_of_expert = bias + int64_t(tile.group) * columns;
    AlongK<Tile, Tile::kRows> a(x, depth, depth, [&](int r) { return min(tile.begin + r, tile.end - 1); });
    if constexpr (kWeightAcross) {
      const auto same = [](int k) { return k; };
      AcrossK<Tile, Tile::kColumns, decltype(same)> b(expert, columns, depth, tile.column0, columns, same);
      multiply_tile<Tile>(sums, a, b, depth, shared);
    } else {
      AlongK<Tile, Tile::kColumns> b(expert, depth, depth,
                                     [&](int r) { return min(tile.column0 + r, columns - 1); });
      multiply_tile<Tile>(sums, a, b, depth, shared);
    }
  }
  store_tile<Tile>(y + int64_t(tile.begin) * columns, sums, bias_of_expert, tile.rows(), tile.column0,
                   columns, beta);
}

/// order_p = the expert that p others come before: those with more rows, and of as many those before it.
static __global__ void __launch_bounds__(1024) order_by_load_kernel(int32_t* order, Groups groups) {
  for (int e = threadIdx.x; e < groups.E; e += 1024) {
    const int rows = groups.end(e) - groups.begin(e);
    int position = 0;
    for (int other = 0; other < groups.E; ++other) {
      const int others = groups.end(other) - groups.begin(other);
      position += others > rows || (others == rows && other < e);
    }
    order[position] = e;
  }
}

/// Row m of an operand that is sorted by expert, or is gathered by token.
struct SortedRow {
  DEVICE int operator()(int m) const { return m; }
};
struct GatheredRow {
  const int32_t* token;  // [M]
  DEVICE int operator()(int m) const { return token[m]; }
};

/// Where the gradient of expert e goes: dw_e is [M,N], or [N,M] with kTransposed.
template <bool kTransposed>
struct WeightGradient {
  float* dw;
  int M, N;
  float beta;

  DEVICE float* at(int e, int m, int n) const {
    return dw + int64_t(e) * M * N + (kTransposed ? int64_t(n) * M + m : int64_t(m) * N + n);
  }
  /// beta dw_e at n and n + 1, without reading where beta is 0.
  DEVICE float2 kept(int e, int m, int n) const {
    if (beta == 0.0f) return make_float2(0.0f, 0.0f);
    if constexpr (kTransposed) return make_float2(beta * *at(e, m, n), beta * *at(e, m, n + 1));
    const float2 old = *reinterpret_cast<const float2*>(at(e, m, n));
    return make_float2(beta * old.x, beta * old.y);
  }
  DEVICE void store(int e, int m, int n, float2 value) const {
    if constexpr (kTransposed)
      *at(e, m, n) = value.x, *at(e, m, n + 1) = value.y;
    else
      *reinterpret_cast<float2*>(at(e, m, n)) = value;
  }
};

/// dw = beta dw + sums for one tile of expert e. A warp's access covers whole 32-byte sectors either way:
/// four lanes have eight columns of a row, eight lanes eight rows of a column. A row's old values are loaded
/// before any is stored, so that their latencies overlap.
template <class Tile, class Gradient>
DEVICE void store_gradient(const Gradient& gradient, const Sums<Tile>& sums, int e, int m0, int n0) {
  const SumPlace<Tile> at;
  UNROLL for (int i = 0; i < Tile::kFragmentRows; ++i) UNROLL for (int half = 0; half < 2; ++half) {
    const int m = m0 + at.row + i * 16 + half * 8, n = n0 + at.column + at.quad_lane * 2;
    float2 value[Tile::kFragmentColumns];
    UNROLL for (int j = 0; j < Tile::kFragmentColumns; ++j) {
      const bool inside = m < gradient.M && n + j * 8 < gradient.N;
      value[j] = inside ? gradient.kept(e, m, n + j * 8) : make_float2(0.0f, 0.0f);
    }
    UNROLL for (int j = 0; j < Tile::kFragmentColumns; ++j) {
      value[j].x += sums[i][j][2 * half], value[j].y += sums[i][j][2 * half + 1];
      if (m < gradient.M && n + j * 8 < gradient.N) gradient.store(e, m, n + j * 8, value[j]);
    }
  }
}

/// gradient_e(m, n) = what is kept of it + sum_r a(row_of_a(r), m) b(r, n) over the rows r of expert e; a
/// has M columns, b has N. Block: one tile of the expert that `order` has at its place.
template <class Tile, class RowOfA, class Gradient>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    grouped_weights_kernel(Gradient gradient, const __nv_bfloat16* a, RowOfA row_of_a, const __nv_bfloat16* b,
                           Groups groups, const int32_t* order) {
  DYN_SHARED(__nv_bfloat16, shared);
  const int M = gradient.M, N = gradient.N, column_tiles = (N + Tile::kColumns - 1) / Tile::kColumns;
  const int tiles = (M + Tile::kRows - 1) / Tile::kRows * column_tiles, tile = int(blockIdx.x) % tiles;
  const int e = order[int(blockIdx.x) / tiles], begin = groups.begin(e), rows = groups.end(e) - begin;
  const int m0 = tile / column_tiles * Tile::kRows, n0 = tile % column_tiles * Tile::kColumns;
  const auto row_a = [=](int r) { return row_of_a(begin + r); };
  const auto row_b = [=](int r) { return begin + r; };
  AcrossK<Tile, Tile::kRows, decltype(row_a)> operand_a(a, M, rows, m0, M, row_a);
  AcrossK<Tile, Tile::kColumns, decltype(row_b)> operand_b(b, N, rows, n0, N, row_b);
  Sums<Tile> sums = {};
  multiply_tile<Tile>(sums, operand_a, operand_b, rows, shared);
  store_gradient<Tile>(gradient, sums, e, m0, n0);
}

inline int divide_up(int64_t a, int64_t b) { return int((a + b - 1) / b); }

/// Launches a kernel on the blocks of Tile, whose shared memory is more than the 48 KiB that need no
/// permission.
template <class Tile, class... Parameters, class... Arguments>
void launch_tiles(void (*kernel)(Parameters...), int blocks, const Arguments&... arguments) {
  CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::kSharedBytes));
  LAUNCH(kernel, blocks, Tile::kThreads, Tile::kSharedBytes, stream(), arguments...);
}

/// The same for the tiles of a product with `columns` columns.
template <class Tile, class... Parameters, class... Arguments>
void launch_row_tiles(void (*kernel)(Parameters...), const Groups& groups, int64_t columns,
                      const Arguments&... arguments) {
  const int row_tiles = most_row_tiles(groups.M, groups.E, Tile::kRows);
  launch_tiles<Tile>(kernel, row_tiles * divide_up(columns, Tile::kColumns), arguments...);
}

/// Tensor cores take rows of whole 16-byte chunks.
template <class... Pointers>
bool on_tensor_cores(int64_t F, int64_t C, const Pointers*... pointers) {
  return F % 8 == 0 && C % 8 == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

/// The gradients of all experts: grouped_weights_kernel on tiles of kRows x kColumns.
template <class Tile, class RowOfA, class Gradient>
void multiply_weights_in(const Gradient& gradient, const __nv_bfloat16* a, const RowOfA& row_of_a,
                         const __nv_bfloat16* b, const Groups& groups) {
  const Scratch<int32_t> order(groups.E);
  LAUNCH(order_by_load_kernel, 1, 1024, 0, stream(), order.data(), groups);
  const int tiles = divide_up(gradient.M, Tile::kRows) * divide_up(gradient.N, Tile::kColumns);
  launch_tiles<Tile>(&grouped_weights_kernel<Tile, RowOfA, Gradient>, groups.E * tiles, gradient, a, row_of_a,
                     b, groups, order.data());
}

template <class RowOfA, class Gradient>
void multiply_weights(const Gradient& gradient, const __nv_bfloat16* a, const RowOfA& row_of_a,
                      const __nv_bfloat16* b, const Groups& groups) {
  if (prefers_narrow(gradient.N))
    multiply_weights_in<NarrowTile>(gradient, a, row_of_a, b, groups);
  else
    multiply_weights_in<WideTile>(gradient, a, row_of_a, b, groups);
}

}  // namespace rmoe::cuda
