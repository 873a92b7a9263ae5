// A tile of a matrix product per block on tensor cores: bf16 operands, fp32 sums in registers (sm_80 and
// later).
//
// Operands travel through a ring of kStages stages of shared memory, filled by cp.async, and are read from
// there by ldmatrix. An operand comes in one of two orders:
//   AlongK    k runs along the rows of its matrix        in shared memory [rows or columns of the
//   tile][kDepth] AcrossK   the rows of its matrix are values of k     in shared memory [kDepth][rows or
//   columns of the tile]
// Fragments of an AcrossK operand are transposed by ldmatrix. Rows and columns of the tile behind the end of
// the product repeat one that exists, for they reach only sums that nobody stores; values of k behind the end
// are zero in both operands. All rows start at multiples of 16 bytes.
#pragma once

#include "engine/cuda/ptx.cuh"

namespace rmoe::cuda {

/// kRows x kColumns per block, by kWarpRows x kWarpColumns warps.
template <int kRows_, int kColumns_, int kWarpRows_, int kWarpColumns_, int kStages_, int kBlocks_>
struct TileShape {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kDepth = 32, kStages = kStages_;
  static constexpr int kWarpColumns = kWarpColumns_, kThreads = 32 * kWarpRows_ * kWarpColumns_;
  static constexpr int kBlocks = kBlocks_;  // per multiprocessor
  static constexpr int kRowsOfWarp = kRows / kWarpRows_, kColumnsOfWarp = kColumns / kWarpColumns_;
  static constexpr int kFragmentRows = kRowsOfWarp / 16, kFragmentColumns = kColumnsOfWarp / 8;
  static constexpr int kElementsA = kRows * kDepth, kStageElements = (kRows + kColumns) * kDepth;
  static constexpr int kSharedBytes = kStages * kStageElements * 2;
  static_assert(kRowsOfWarp % 16 == 0 && kColumnsOfWarp % 8 == 0);
};

/// The sums of one warp: m16n8 accumulators, in PTX's layout.
template <class Tile>
using Sums = float[Tile::kFragmentRows][Tile::kFragmentColumns][4];

/// Where a thread's sums lie in the tile: [i][j][0] and [1] in row `row` + 16 i and the columns `column` + 8
/// j + 2 quad_lane and its neighbour, [2] and [3] eight rows below.
template <class Tile>
struct SumPlace {
  int row, column, quad_lane, warp_column;

  DEVICE SumPlace() {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    warp_column = warp % Tile::kWarpColumns;
    row = warp / Tile::kWarpColumns * Tile::kRowsOfWarp + (lane >> 2);
    column = warp_column * Tile::kColumnsOfWarp;
    quad_lane = lane & 3;
  }
};

/// Where the 16-byte chunk `chunk` of a row lies in a shared tile of rows of kChunks chunks, in elements. The
/// exclusive or puts the chunks that one 8 x 8 ldmatrix tile reads (the same of eight rows) into eight
/// different groups of four banks: row r starts in group r * kChunks % 8, which repeats after 1, 2, 4 or 8
/// rows, and what repeats is told apart by the period's number. It depends on row % 8 alone: chunk_place(row
/// + 8 n, c) = chunk_place(row, c) + 64 n kChunks.
template <int kChunks>
DEVICE int chunk_place(int row, int chunk) {
  const int period = kChunks % 8 == 0   ? row & 7
                     : kChunks % 4 == 0 ? row >> 1 & 3
                     : kChunks % 2 == 0 ? row >> 2 & 1
                                        : 0;
  return (row * kChunks + (chunk ^ period)) * 8;
}

/// Row r of the tile is row row_of(r) of `matrix`, which has `stride` elements from row to row and `depth` in
/// use.
template <class Tile, int kRows>
struct AlongK {
  static constexpr bool kAcross = false;
  static constexpr int kChunks = Tile::kDepth / 8, kRowsPerPass = Tile::kThreads / kChunks;
  static constexpr int kPasses = (kRows + kRowsPerPass - 1) / kRowsPerPass;
  static_assert(kRowsPerPass % 8 == 0);
  const __nv_bfloat16* matrix;
  int stride, depth, row[kPasses];

  template <class RowOf>
  DEVICE AlongK(const __nv_bfloat16* matrix_, int stride_, int depth_, RowOf row_of)
      : matrix(matrix_), stride(stride_), depth(depth_) {
    UNROLL for (int p = 0; p < kPasses; ++p) row[p] = row_of(min(first_row() + p * kRowsPerPass, kRows - 1));
  }
  static DEVICE int chunk() { return threadIdx.x % kChunks; }
  static DEVICE int first_row() { return threadIdx.x / kChunks; }

  DEVICE void load(__nv_bfloat16* tile, int k0) {
    const int k = k0 + chunk() * 8;
    const bool inside = k < depth;
    const __nv_bfloat16* from = matrix + (inside ? k : 0);
    __nv_bfloat16* to = tile + chunk_place<kChunks>(first_row(), chunk());
    UNROLL for (int p = 0; p < kPasses; ++p) {
      if (kRows % kRowsPerPass != 0 && first_row() + p * kRowsPerPass >= kRows) continue;
      ptx::cp_async<16>(to + p * kRowsPerPass * Tile::kDepth, from + int64_t(row[p]) * stride, inside);
    }
  }
};

/// Columns [first, first + kColumns) of a matrix that has `columns`; value k of the operand is row row_of(k),
/// for which row_of is asked a stage before the row is loaded. With a second matrix, passes take rows of the
/// two in turn: with kRowsPerPass = 8, values 8 to 15 of every 16 are rows of the second.
template <class Tile, int kColumns, class RowOf>
struct AcrossK {
  static constexpr bool kAcross = true;
  static constexpr int kChunks = kColumns / 8, kThreadsPerRow = kChunks <= 16 ? 16 : 32;
  static constexpr int kRowsPerPass = Tile::kThreads / kThreadsPerRow, kPasses = Tile::kDepth / kRowsPerPass;
  static_assert(kChunks <= 32 && kRowsPerPass % 8 == 0 && Tile::kDepth % kRowsPerPass == 0);
  const __nv_bfloat16* matrix[2];
  RowOf row_of;
  int stride, depth, next[kPasses];

  DEVICE AcrossK(const __nv_bfloat16* matrix_, const __nv_bfloat16* second, int stride_, int depth_,
                 int first, int columns, RowOf row_of_)
      : row_of(row_of_), stride(stride_), depth(depth_) {
    const int column = min(first + chunk() * 8, columns - 8);
    matrix[0] = matrix_ + column, matrix[1] = second + column;
    find_rows(0);
  }
  DEVICE AcrossK(const __nv_bfloat16* matrix_, int stride_, int depth_, int first, int columns, RowOf row_of_)
      : AcrossK(matrix_, matrix_, stride_, depth_, first, columns, row_of_) {}
  static DEVICE int chunk() { return threadIdx.x % kThreadsPerRow; }
  static DEVICE int first_row() { return threadIdx.x / kThreadsPerRow; }

  DEVICE void find_rows(int k0) {
    UNROLL for (int p = 0; p < kPasses; ++p) {
      const int k = k0 + first_row() + p * kRowsPerPass;
      next[p] = k < depth ? row_of(k) : -1;
    }
  }
  DEVICE void load(__nv_bfloat16* tile, int k0) {
    __nv_bfloat16* to = tile + chunk_place<kChunks>(first_row(), chunk());
    if (kChunks == kThreadsPerRow || chunk() < kChunks)
      UNROLL for (int p = 0; p < kPasses; ++p) ptx::cp_async<16>(
          to + p * kRowsPerPass * kColumns, matrix[p & 1] + int64_t(max(next[p], 0)) * stride, next[p] >= 0);
    find_rows(k0 + Tile::kDepth);
  }
};

/// What one warp multiplies at once: k = 16.
template <class Tile>
struct Fragments {
  uint32_t a[Tile::kFragmentRows][4], b[Tile::kFragmentColumns][2];

  /// Of k-step `step` in the stage; `row` and `column` are the warp's first.
  template <class A, class B>
  DEVICE void read(const __nv_bfloat16* stage, int row, int column, int step) {
    UNROLL for (int i = 0; i < Tile::kFragmentRows; ++i) read_a<A>(i, stage, row + i * 16, step);
    UNROLL for (int j = 0; j < Tile::kFragmentColumns; j += 2)
        read_b<B>(j, stage + Tile::kElementsA, column + j * 8, step);
  }

  DEVICE void multiply(Sums<Tile>& sums) const {
    UNROLL for (int j = 0; j < Tile::kFragmentColumns; ++j)
        UNROLL for (int i = 0; i < Tile::kFragmentRows; ++i) ptx::mma_m16n8k16(sums[i][j], a[i], b[j]);
  }

 private:
  template <class A>
  DEVICE void read_a(int i, const __nv_bfloat16* tile, int row, int step) {
    const int lane = threadIdx.x & 31;
    if constexpr (A::kAcross)
      ptx::ldmatrix_x4_trans(
          a[i], tile + step * 16 * Tile::kRows +
                    chunk_place<Tile::kRows / 8>((lane >> 4) * 8 + (lane & 7), row / 8 + (lane >> 3 & 1)));
    else
      ptx::ldmatrix_x4(
          a[i], tile + row * Tile::kDepth + chunk_place<Tile::kDepth / 8>(lane & 15, step * 2 + (lane >> 4)));
  }

  /// Fragments j and j + 1, or j alone if it is the last.
  template <class B>
  DEVICE void read_b(int j, const __nv_bfloat16* tile, int column, int step) {
    const int lane = threadIdx.x & 31;
    if (j + 1 < Tile::kFragmentColumns) {
      uint32_t both[4];
      if constexpr (B::kAcross)
        ptx::ldmatrix_x4_trans(both,
                               tile + step * 16 * Tile::kColumns +
                                   chunk_place<Tile::kColumns / 8>(lane & 15, column / 8 + (lane >> 4)));
      else
        ptx::ldmatrix_x4(both, tile + column * Tile::kDepth +
                                   chunk_place<Tile::kDepth / 8>((lane & 7) + (lane >> 4) * 8,
                                                                 step * 2 + (lane >> 3 & 1)));
      b[j][0] = both[0], b[j][1] = both[1], b[j + 1][0] = both[2], b[j + 1][1] = both[3];
    } else if constexpr (B::kAcross) {
      ptx::ldmatrix_x2_trans(
          b[j], tile + step * 16 * Tile::kColumns + chunk_place<Tile::kColumns / 8>(lane & 15, column / 8));
    } else {
      ptx::ldmatrix_x2(b[j], tile + column * Tile::kDepth +
                                 chunk_place<Tile::kDepth / 8>(lane & 7, step * 2 + (lane >> 3 & 1)));
    }
  }
};

/// sums += A B over k < depth. `shared` holds Tile::kSharedBytes and is free again on return. The loop has
/// one body without branches: what is loaded behind the end are zeros that nobody multiplies, and the
/// fragments of the next step are read while the tensor cores work on the last.
template <class Tile, class A, class B>
DEVICE void multiply_tile(Sums<Tile>& sums, A& a, B& b, int depth, __nv_bfloat16* shared) {
  static_assert(Tile::kDepth == 32, "two k-steps per stage");
  const int warp = threadIdx.x >> 5, row = warp / Tile::kWarpColumns * Tile::kRowsOfWarp;
  const int column = warp % Tile::kWarpColumns * Tile::kColumnsOfWarp;
  const auto stage = [&](int n) { return shared + n % Tile::kStages * Tile::kStageElements; };
  const auto load = [&](int n) {
    a.load(stage(n), n * Tile::kDepth);
    b.load(stage(n) + Tile::kElementsA, n * Tile::kDepth);
    ptx::cp_async_commit();
  };
  UNROLL for (int n = 0; n < Tile::kStages - 1; ++n) load(n);
  ptx::cp_async_wait<Tile::kStages - 2>();
  __syncthreads();

  Fragments<Tile> even, odd;
  even.template read<A, B>(stage(0), row, column, 0);
  const int stages = (depth + Tile::kDepth - 1) / Tile::kDepth;
#pragma unroll 1
  for (int n = 0; n < stages; ++n) {
    odd.template read<A, B>(stage(n), row, column, 1);
    load(n + Tile::kStages - 1);  // into the stage that all threads left before the last barrier
    even.multiply(sums);
    ptx::cp_async_wait<Tile::kStages - 2>();
    __syncthreads();  // the next stage is there for all threads, and all have read this one
    even.template read<A, B>(stage(n + 1), row, column, 0);
    odd.multiply(sums);
  }
  ptx::cp_async_wait<0>();
  __syncthreads();
}

// ---- what follows the product
// -------------------------------------------------------------------------------

DEVICE float low_bf16(uint32_t pair) { return __uint_as_float(pair << 16); }
DEVICE float high_bf16(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

/// Eight neighbouring bf16 values. In a quad of lanes, the accumulators of four neighbouring fragments of a
/// row are four words each; transposed, a lane has the whole of one fragment, and stores 16 bytes instead of
/// four times four.
struct Words {
  uint32_t word[4] = {};

  /// Word i of lane t becomes word t of lane i, within each quad. All lanes of the warp call it.
  DEVICE void transpose_in_quad() {
    UNROLL for (int bit = 1; bit <= 2; bit <<= 1) {
      const bool upper = threadIdx.x & bit;
      UNROLL for (int j = 0; j < 4; ++j) {
        if (j & bit) continue;
        const uint32_t received = __shfl_xor_sync(0xffffffffu, upper ? word[j] : word[j | bit], bit);
        if (upper)
          word[j] = received;
        else
          word[j | bit] = received;
      }
    }
  }
  DEVICE void load(const __nv_bfloat16* from) {
    const uint4 v = *reinterpret_cast<const uint4*>(from);
    word[0] = v.x, word[1] = v.y, word[2] = v.z, word[3] = v.w;
  }
  DEVICE void store(__nv_bfloat16* to) const {
    *reinterpret_cast<uint4*>(to) = make_uint4(word[0], word[1], word[2], word[3]);
  }
};

}  // namespace rmoe::cuda
