// Tiles in shared memory, fragments in registers and the products of a warp: what the tensor-core kernels of
// both attentions are built of. Blocks have four warps.
//
// mma.m16n8k16 computes C [16,8] += A [16,16] B [16,8]. Lane l holds, with g = l / 4 and c = 2 (l % 4),
//   of C (4 floats): C[g][c], C[g][c+1], C[g+8][c], C[g+8][c+1];  of A: the same rows, columns c, c+1, c+8,
//   c+9.
// So two neighbouring tiles of C, rounded to bf16, are a fragment of A: probabilities go from one product
// into the next without leaving the registers.
#pragma once

#include "engine/cuda/check.hpp"
#include "engine/cuda/context.hpp"
#include "engine/cuda/ptx.cuh"
#include "engine/cuda/scratch.hpp"
#include "engine/cuda/warp.cuh"

namespace rmoe::cuda::tiles {

using Element = __nv_bfloat16;

constexpr int kWarps = 4, kThreadsPerBlock = kWarps * kLanes;
constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

DEVICE int lane() { return threadIdx.x % kLanes; }
DEVICE int warp() { return threadIdx.x / kLanes; }
DEVICE int fragment_row() { return lane() / 4; }         // g above
DEVICE int fragment_column() { return lane() % 4 * 2; }  // c above

/// bf16 [kRows_, kColumns_] in shared memory. A row is an odd number of 16-byte units: the eight rows that
/// ldmatrix reads at a time lie in different banks.
template <int kRows_, int kColumns_>
struct Tile {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kPitch = (kColumns / 8 | 1) * 8;
  static constexpr int kElements = kRows * kPitch, kBytes = kElements * int(sizeof(Element));
  Element* data;
  DEVICE Element* at(int row, int column) const { return data + row * kPitch + column; }
};

/// The vectors [D] of one head at `count` successive positions, `stride` elements apart. Each begins on a
/// multiple of `unit` elements (8, 4, 2 or 1), which divides D: what one copy may take.
template <class T>
struct Head {
  T* data;
  int64_t stride;
  int count, D, unit;
};

/// Head h of x [B, count, H*D].
template <class T>
HOST_DEVICE Head<T> head_of(T* x, int64_t b, int64_t h, int64_t count, int64_t H, int64_t D, int unit) {
  return {x + (b * count * H + h) * D, H * D, int(count), int(D), unit};
}

/// The largest copy that every pointer and every multiple of D allows.
template <class... T>
int copy_unit(int64_t D, const T*... pointers) {
  const uintptr_t bits = (reinterpret_cast<uintptr_t>(pointers) | ... | uintptr_t(2 * D));
  return bits % 16 == 0 ? 8 : bits % 8 == 0 ? 4 : bits % 4 == 0 ? 2 : 1;
}

DEVICE void set(Element* to, Element value) { *to = value; }

// ---- copies -----------------------------------------------------------------------------------------------

template <int kUnit, class TileT>
DEVICE void copy_rows(TileT tile, const Head<const Element>& head, int first, int D) {
  constexpr int kPerRow = TileT::kColumns / kUnit, kCopies = TileT::kRows * kPerRow;
  static_assert(kCopies % kThreadsPerBlock == 0);
#pragma unroll 4
  for (int n = 0; n < kCopies / kThreadsPerBlock; ++n) {
    const int i = n * kThreadsPerBlock + int(threadIdx.x), row = i / kPerRow, column = i % kPerRow * kUnit;
    const int position = first + row;
    const bool inside = position >= 0 && position < head.count && column < D;
    const Element* from = head.data + (inside ? position * head.stride + column : 0);
    if constexpr (kUnit > 1)
      ptx::cp_async<2 * kUnit>(tile.at(row, column), from, inside);
    else
      set(tile.at(row, column), inside ? *from : __float2bfloat16(0.0f));
  }
}

/// tile[r][d] = head[first + r][d], zero outside; asynchronous but for odd D. kWhole: the tile is as wide as
/// the head, copies are of 16 bytes.
template <bool kWhole, class TileT>
DEVICE void load_rows(TileT tile, const Head<const Element>& head, int first) {
  if constexpr (kWhole)
    copy_rows<8>(tile, head, first, TileT::kColumns);
  else if (head.unit == 8)
    copy_rows<8>(tile, head, first, head.D);
  else if (head.unit == 4)
    copy_rows<4>(tile, head, first, head.D);
  else if (head.unit == 2)
    copy_rows<2>(tile, head, first, head.D);
  else
    copy_rows<1>(tile, head, first, head.D);
}

/// head[first + r] = scale_r sums[r] for the 16 rows of sums [16, 8 N], as far as there are such.
template <bool kWhole, int N>
DEVICE void store_rows(const Head<Element>& head, int first, const float (&sums)[N][4], float scale_low,
                       float scale_high) {
  const int D = kWhole ? 8 * N : head.D;
  UNROLL for (int half = 0; half < 2; ++half) {
    const int position = first + fragment_row() + 8 * half;
    const float scale = half ? scale_high : scale_low;
    if (position >= head.count) continue;
    Element* to = head.data + position * head.stride;
    UNROLL for (int n = 0; n < N; ++n) {
      const int d = 8 * n + fragment_column();
      const bf16x2 pair = __floats2bfloat162_rn(scale * sums[n][2 * half], scale * sums[n][2 * half + 1]);
      if (kWhole || head.unit > 1) {
        if (d < D) *reinterpret_cast<bf16x2*>(to + d) = pair;
      } else {
        if (d < D) set(to + d, pair.x);
        if (d + 1 < D) set(to + d + 1, pair.y);
      }
    }
  }
}

// ---- fragments --------------------------------------------------------------------------------------------

struct FragmentA {  // [16,16]
  uint32_t r[4];
};
struct FragmentPairB {  // [16,16]: two [16,8] side by side
  uint32_t r[4];
};

/// Row addresses for ldmatrix_x4, whose four 8 x 8 matrices walk the 16 x 16 block down or across first.
template <class TileT>
DEVICE const Element* down_first(TileT tile, int row, int column) {
  return tile.at(row + lane() % 16, column + lane() / 16 * 8);
}
template <class TileT>
DEVICE const Element* across_first(TileT tile, int row, int column) {
  return tile.at(row + lane() % 8 + lane() / 16 * 8, column + lane() / 8 % 2 * 8);
}

/// A[m][k] from tile[m][k] or from tile[k][m], B[k][n] from tile[n][k] or from tile[k][n]; `row` and `column`
/// are the tile's.
template <class TileT>
DEVICE void load_a(FragmentA& a, TileT tile, int row, int column) {
  ptx::ldmatrix_x4(a.r, down_first(tile, row, column));
}
template <class TileT>
DEVICE void load_a_transposed(FragmentA& a, TileT tile, int row, int column) {
  ptx::ldmatrix_x4_trans(a.r, across_first(tile, row, column));
}
template <class TileT>
DEVICE void load_b_transposed(FragmentPairB& b, TileT tile, int row, int column) {
  ptx::ldmatrix_x4(b.r, across_first(tile, row, column));
}
template <class TileT>
DEVICE void load_b(FragmentPairB& b, TileT tile, int row, int column) {
  ptx::ldmatrix_x4_trans(b.r, down_first(tile, row, column));
}

DEVICE void multiply_pair(float (&low)[4], float (&high)[4], const FragmentA& a, const FragmentPairB& b) {
  const uint32_t b_low[2] = {b.r[0], b.r[1]}, b_high[2] = {b.r[2], b.r[3]};
  ptx::mma_m16n8k16(low, a.r, b_low);
  ptx::mma_m16n8k16(high, a.r, b_high);
}

/// Columns [16 k, 16 k + 16) of c [16, 8 N], rounded.
template <int N>
DEVICE void round_to_a(FragmentA& a, const float (&c)[N][4], int k) {
  a.r[0] = ptx::pack_bf16(c[2 * k][0], c[2 * k][1]);
  a.r[1] = ptx::pack_bf16(c[2 * k][2], c[2 * k][3]);
  a.r[2] = ptx::pack_bf16(c[2 * k + 1][0], c[2 * k + 1][1]);
  a.r[3] = ptx::pack_bf16(c[2 * k + 1][2], c[2 * k + 1][3]);
}

// ---- products of a warp: M tiles of 16 rows, N tiles of 8 columns -----------------------------------------

/// c [16 M, 8 N] += A [16 M, K] B^T with A in registers and B [8 N, K] the rows of `b` from b_row on.
template <int M, int N, int K16, class TileB>
DEVICE void multiply_transposed(float (&c)[M][N][4], const FragmentA (&a)[M][K16], TileB b, int b_row) {
  UNROLL for (int k = 0; k < K16; ++k) UNROLL for (int n = 0; n < N / 2; ++n) {
    FragmentPairB columns;
    load_b_transposed(columns, b, b_row + 16 * n, 16 * k);
    UNROLL for (int m = 0; m < M; ++m) multiply_pair(c[m][2 * n], c[m][2 * n + 1], a[m][k], columns);
  }
}

/// The same with A the rows of a tile from a_row on: fewer registers, more shared memory read.
template <int M, int N, class TileA, class TileB>
DEVICE void multiply_transposed(float (&c)[M][N][4], TileA a, int a_row, TileB b, int b_row) {
  UNROLL for (int k = 0; k < TileA::kColumns / 16; ++k) {
    FragmentA rows[M];
    UNROLL for (int m = 0; m < M; ++m) load_a(rows[m], a, a_row + 16 * m, 16 * k);
    UNROLL for (int n = 0; n < N / 2; ++n) {
      FragmentPairB columns;
      load_b_transposed(columns, b, b_row + 16 * n, 16 * k);
      UNROLL for (int m = 0; m < M; ++m) multiply_pair(c[m][2 * n], c[m][2 * n + 1], rows[m], columns);
    }
  }
}

/// c [16 M, 8 N] += A B with A = p [16 M, 8 K8] rounded, the sums of an earlier product, and B [8 K8, 8 N]
/// the rows of `b` from b_row on.
template <int M, int N, int K8, class TileB>
DEVICE void multiply(float (&c)[M][N][4], const float (&p)[M][K8][4], TileB b, int b_row) {
  UNROLL for (int k = 0; k < K8 / 2; ++k) {
    FragmentA a[M];
    UNROLL for (int m = 0; m < M; ++m) round_to_a(a[m], p[m], k);
    UNROLL for (int n = 0; n < N / 2; ++n) {
      FragmentPairB columns;
      load_b(columns, b, b_row + 16 * k, 16 * n);
      UNROLL for (int m = 0; m < M; ++m) multiply_pair(c[m][2 * n], c[m][2 * n + 1], a[m], columns);
    }
  }
}

/// Opts in to that much shared memory and launches one block for each of `blocks` pieces of work; none for 0.
template <class... Params>
void launch(void (*kernel)(Params...), int64_t blocks, int shared_bytes, const Params&... params) {
  if (blocks == 0) return;
  CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes));
  LAUNCH(kernel, unsigned(blocks), kThreadsPerBlock, shared_bytes, stream(), params...);
}

constexpr int64_t pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }

}  // namespace rmoe::cuda::tiles
