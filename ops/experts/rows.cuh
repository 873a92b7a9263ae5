// Rows of experts on tensor cores: where they come from, and how an activation finds its fragments.
#pragma once

#include "ops/experts/kernels.hpp"
#include "ops/grouped_linear/tensor_cores.cuh"

namespace rmoe::cuda {

inline Groups groups_of(const ExpertRows& rows) { return {rows.offsets, int(rows.M), int(rows.E)}; }

/// Rows of x as the rows of a tile: those of the tokens.
struct TokenRow {
  const int32_t* assignment;
  int K;
  RowTile tile;

  DEVICE int operator()(int r) const { return assignment[min(tile.begin + r, tile.end - 1)] / K; }
};

/// Eight neighbouring units of a row that a lane loads and stores, of the fragments j and j + 1 (j alone if
/// it is the last) of 16 rows: word 2 half + q of Words is fragment j + q of the lane's row half; transposed,
/// a lane has fragment quad_lane % 2 of row quad_lane / 2.
struct PairPlace {
  int row, unit;
  bool inside;

  /// The lane's first row and the fragment's first unit.
  template <class Tile>
  DEVICE static PairPlace of(int j, int row, int rows, int unit, int F) {
    const int quad_lane = threadIdx.x & 3, q = quad_lane & 1;
    const int mine = row + (quad_lane >> 1) * 8, first = unit + q * 8;
    return {mine, first, mine < rows && first < F && j + q < Tile::kFragmentColumns};
  }
  DEVICE int64_t in(int F) const { return int64_t(row) * F + unit; }
};

}  // namespace rmoe::cuda
