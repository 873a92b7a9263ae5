// The gradient of hidden units, for experts of either kind: dh = dy w2 of the gathered rows. The product's
// epilogue is the activation's: it makes what it keeps of dh and of g h, and sums <h, dh>.
#pragma once

#include "ops/experts/rows.cuh"

namespace rmoe::cuda {

/// <h, dh> of the tile's rows over the tile's columns, from what each warp has of them.
template <class Tile>
DEVICE void store_dots(float* dots, const float (&of_warp)[Tile::kWarpColumns][Tile::kRows], int rows) {
  __syncthreads();
  for (int r = threadIdx.x; r < rows; r += Tile::kThreads) {
    float sum = 0.0f;
    for (int n = 0; n < Tile::kWarpColumns; ++n) sum += of_warp[n][r];
    dots[r] = sum;
  }
}

/// `activation` begins at row 0 and is moved to the tile's; its store() takes fragments j and j + 1 of dh (j
/// alone if it is the last) in the 16 rows from `row` on, whose first column is `unit`, with the gates of
/// rows `row` and `row` + 8, and adds their <h, dh> to the last argument. partial_dots [column tiles, M]
template <class Tile, class Activation>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    hidden_kernel(Activation activation, float* partial_dots, const __nv_bfloat16* dy,
                  const __nv_bfloat16* w2, const float* gates, const int32_t* assignment, Groups groups,
                  int K, int C) {
  DYN_SHARED(__nv_bfloat16, shared);
  SHARED(float[Tile::kRows], gate_of_row);
  SHARED(float[Tile::kWarpColumns][Tile::kRows], dots);
  const int F = activation.F;
  const BlockTile tile = find_tile<Tile>(groups, F);
  if (tile.group >= groups.E) return;
  const int rows = tile.rows();
  for (int r = threadIdx.x; r < Tile::kRows;
       r += Tile::kThreads)  // the barriers of the product are behind it
    gate_of_row[r] = r < rows ? gates[assignment[tile.begin + r]] : 0.0f;
  const auto same = [](int k) { return k; };
  AlongK<Tile, Tile::kRows> a(dy, C, C, TokenRow{assignment, K, tile});
  AcrossK<Tile, Tile::kColumns, decltype(same)> b(w2 + int64_t(tile.group) * C * F, F, C, tile.column0, F,
                                                  same);
  Sums<Tile> sums = {};
  multiply_tile<Tile>(sums, a, b, C, shared);

  const SumPlace<Tile> at;
  activation.move(tile.begin);
  UNROLL for (int i = 0; i < Tile::kFragmentRows; ++i) {
    const int row = at.row + i * 16;
    const float row_gates[2] = {gate_of_row[row], gate_of_row[row + 8]};
    float sum[2] = {};
    UNROLL for (int j = 0; j < Tile::kFragmentColumns; j += 2) activation.template store<Tile>(
        sums[i], j, row, rows, tile.column0 + at.column + j * 8, row_gates, sum);
    UNROLL for (int half = 0; half < 2; ++half) {
      sum[half] += __shfl_xor_sync(kAllLanes, sum[half], 1);
      sum[half] += __shfl_xor_sync(kAllLanes, sum[half], 2);
      if (at.quad_lane == 0) dots[at.warp_column][row + half * 8] = sum[half];
    }
  }
  store_dots<Tile>(partial_dots + int64_t(tile.column_tile) * groups.M + tile.begin, dots, rows);
}

/// <h, dh> of every row in parts, one for each column tile.
struct PartialDots {
  const float* parts;
  int count;
  int64_t M;

  DEVICE float operator()(int row) const {
    float sum = 0.0f;
    for (int p = 0; p < count; ++p) sum += parts[p * M + row];
    return sum;
  }
};

template <class Tile, class Activation, class Finish>
void hidden_gradient_in(const Activation& activation, const bf16* dy, const bf16* w2, const float* gates,
                        const ExpertRows& rows, const Finish& finish) {
  const int column_tiles = divide_up(rows.F, Tile::kColumns);
  const Scratch<float> partial(column_tiles * rows.M);
  if (rows.F > 0)
    launch_row_tiles<Tile>(&hidden_kernel<Tile, Activation>, groups_of(rows), rows.F, activation,
                           partial.data(), device_pointer(dy), device_pointer(w2), gates, rows.assignment,
                           groups_of(rows), int(rows.K), int(rows.C));
  finish(PartialDots{partial.data(), column_tiles, rows.M});
}

/// Runs hidden_kernel, then finish(dots), which enqueues what reads them.
template <class Activation, class Finish>
void hidden_gradient(const Activation& activation, const bf16* dy, const bf16* w2, const float* gates,
                     const ExpertRows& rows, const Finish& finish) {
  if (prefers_narrow(rows.F))
    hidden_gradient_in<NarrowTile>(activation, dy, w2, gates, rows, finish);
  else
    hidden_gradient_in<WideTile>(activation, dy, w2, gates, rows, finish);
}

}  // namespace rmoe::cuda
