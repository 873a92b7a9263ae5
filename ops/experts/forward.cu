// The first product of SwiGLU experts. Rows of x are gathered by token while they are loaded, and rows of w1
// and w3 come interleaved by eight, so that an accumulator's four neighbouring fragments are gate, up, gate,
// up of the same hidden units: the activation needs nothing of other threads.
#include "ops/experts/swiglu.cuh"
#include "ops/grouped_linear/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// Fragments j to j + 3 of 16 rows: gate_up and h, from the accumulators of one fragment row.
template <class Tile>
DEVICE void store_activation(__nv_bfloat16* gate_up, __nv_bfloat16* h,
                             const float (&sums)[Tile::kFragmentColumns][4], int j, int row, int rows,
                             int column, int F) {
  const int quad_lane = threadIdx.x & 3, mine = column + quad_lane * 8;
  Words hidden;  // two fragments of each of the two rows
  UNROLL for (int half = 0; half < 2; ++half) {
    Words words;
    UNROLL for (int q = 0; q < 4; ++q) words.word[q] =
        ptx::pack_bf16(sums[j + q][2 * half], sums[j + q][2 * half + 1]);
    UNROLL for (int p = 0; p < 2; ++p) hidden.word[2 * half + p] =
        swiglu_pair(words.word[2 * p], words.word[2 * p + 1]);
    words.transpose_in_quad();
    if (row + half * 8 < rows && mine < 2 * F) words.store(gate_up + int64_t(row + half * 8) * 2 * F + mine);
  }
  hidden.transpose_in_quad();  // a lane has fragment quad_lane % 2 of row quad_lane / 2
  const int hidden_row = row + (quad_lane >> 1) * 8, unit = column / 2 + (quad_lane & 1) * 8;
  if (hidden_row < rows && unit < F) hidden.store(h + int64_t(hidden_row) * F + unit);
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    swiglu_fwd_kernel(__nv_bfloat16* gate_up, __nv_bfloat16* h, const __nv_bfloat16* x,
                      const __nv_bfloat16* w1, const __nv_bfloat16* w3, const int32_t* assignment,
                      Groups groups, int K, int F, int C) {
  DYN_SHARED(__nv_bfloat16, shared);
  const int column_tiles = (2 * F + Tile::kColumns - 1) / Tile::kColumns;
  const int column0 = int(blockIdx.x) % column_tiles * Tile::kColumns;
  const RowTile tile = find_row_tile(groups, int(blockIdx.x) / column_tiles, Tile::kRows);
  if (tile.group >= groups.E) return;
  using B = AlongK<Tile, Tile::kColumns>;
  static_assert(B::kRowsPerPass % 16 == 0, "a thread loads of one matrix");
  const __nv_bfloat16* matrix = (B::first_row() & 8) != 0 ? w3 : w1;
  AlongK<Tile, Tile::kRows> a(x, C, C, TokenRow{assignment, K, tile});
  B b(matrix + int64_t(tile.group) * F * C, C, C,
      [=](int r) { return min(unit_of_column(column0 + r), F - 1); });
  Sums<Tile> sums = {};
  multiply_tile<Tile>(sums, a, b, C, shared);

  const SumPlace<Tile> at;
  const int rows = tile.end - tile.begin;
  static_assert(Tile::kFragmentColumns % 4 == 0);
  UNROLL for (int j = 0; j < Tile::kFragmentColumns; j += 4)
      UNROLL for (int i = 0; i < Tile::kFragmentRows; ++i)
          store_activation<Tile>(gate_up + int64_t(tile.begin) * 2 * F, h + int64_t(tile.begin) * F, sums[i],
                                 j, at.row + i * 16, rows, column0 + at.column + j * 8, F);
}

}  // namespace

template <>
void swiglu_experts_fwd(bf16* gate_up, bf16* outputs, const bf16* x, const bf16* w1, const bf16* w3,
                        const bf16* w2, const ExpertRows& rows) {
  using Tile = WideTile;
  const Scratch<bf16> h(rows.M * rows.F);
  const Groups groups{rows.offsets, int(rows.M), int(rows.E)};
  const int blocks = most_row_tiles(rows.M, rows.E, Tile::kRows) * divide_up(2 * rows.F, Tile::kColumns);
  if (rows.M * rows.F > 0)
    launch_tiles<Tile>(&swiglu_fwd_kernel<Tile>, blocks, device_pointer(gate_up), device_pointer(h.data()),
                       device_pointer(x), device_pointer(w1), device_pointer(w3), rows.assignment, groups,
                       int(rows.K), int(rows.F), int(rows.C));
  grouped_linear_fwd<bf16>(outputs, h.data(), w2, nullptr, rows.offsets, rows.M, rows.E, rows.C, rows.F);
}

}  // namespace rmoe::cuda
