// ReLU experts. The first product gathers rows of x by token while it loads them; its epilogue adds the bias
// and draws dropout's numbers for the eight neighbouring units that a lane stores: two blocks of four out of
// Philox, or parts of three. What is kept is h alone: where it is 0, no gradient passes.
#include "engine/cuda/philox.cuh"
#include "ops/experts/rows.cuh"
#include "ops/grouped_linear/kernels.hpp"

#include <math.h>

namespace rmoe::cuda {
namespace {

struct Dropout {
  uint64_t seed, stream;
  int64_t offset;
  uint32_t least;  // 0: nothing is dropped
  float scale;

  explicit Dropout(const ExpertDropout& d)
      : seed(d.seed), stream(d.stream), offset(d.offset), least(lowest(d.p)), scale(float(1 / (1 - d.p))) {}

  /// Bit j: is what number first + j decides kept? j < 8.
  DEVICE uint32_t kept(int64_t first) const {
    uint32_t bits = 0;
#pragma unroll 1
    for (int64_t block = first >> 2; block <= (first + 7) >> 2; ++block) {
      const RandomBits numbers = philox(seed, stream, uint64_t(block));
      const int shift = int(block * 4 - first);  // -3 .. 7
      uint32_t four = 0;
      UNROLL for (int k = 0; k < 4; ++k) four |= uint32_t(at_least(numbers.word[k], least)) << k;
      bits |= shift < 0 ? four >> -shift : four << shift;
    }
    return bits;
  }
};

/// Zeros of a lane's eight units those whose bit is not set.
DEVICE void drop(Words& words, uint32_t kept) {
  UNROLL for (int i = 0; i < 4; ++i) {
    if ((kept >> (2 * i) & 1) == 0) words.word[i] &= 0xffff0000u;
    if ((kept >> (2 * i + 1) & 1) == 0) words.word[i] &= 0x0000ffffu;
  }
}

/// A comparison with NaN is false, so written this way round NaN stays NaN.
DEVICE float relu(float x) { return x < 0.0f ? 0.0f : x; }

/// h begins at the tile's row 0, as its assignments do.
template <class Tile>
DEVICE void store_hidden(__nv_bfloat16* h, const Sums<Tile>& sums, const __nv_bfloat16* bias,
                         const int32_t* assignment, const Dropout& dropout, int rows, int column0, int F) {
  const SumPlace<Tile> at;
  UNROLL for (int j = 0; j < Tile::kFragmentColumns; j += 2) {
    const int unit = column0 + at.column + j * 8;
    float2 add[2];
    UNROLL for (int q = 0; q < 2; ++q) add[q] = bias_pair(bias, unit + q * 8 + at.quad_lane * 2, F);
    UNROLL for (int i = 0; i < Tile::kFragmentRows; ++i) {
      Words words;
      UNROLL for (int half = 0; half < 2; ++half)
          UNROLL for (int q = 0; q < 2; ++q) if (j + q < Tile::kFragmentColumns) words.word[2 * half + q] =
          ptx::pack_bf16(relu(sums[i][j + q][2 * half] + add[q].x) * dropout.scale,
                         relu(sums[i][j + q][2 * half + 1] + add[q].y) * dropout.scale);
      words.transpose_in_quad();
      const PairPlace place = PairPlace::of<Tile>(j, at.row + i * 16, rows, unit, F);
      if (!place.inside) continue;
      if (dropout.least != 0)
        drop(words, dropout.kept(dropout.offset + int64_t(assignment[place.row]) * F + place.unit));
      words.store(h + place.in(F));
    }
  }
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    relu_fwd_kernel(__nv_bfloat16* h, const __nv_bfloat16* x, const __nv_bfloat16* w1,
                    const __nv_bfloat16* b1, const int32_t* assignment, Groups groups, int K, int F, int C,
                    Dropout dropout) {
  DYN_SHARED(__nv_bfloat16, shared);
  const BlockTile tile = find_tile<Tile>(groups, F);
  if (tile.group >= groups.E) return;
  AlongK<Tile, Tile::kRows> a(x, C, C, TokenRow{assignment, K, tile});
  AlongK<Tile, Tile::kColumns> b(w1 + int64_t(tile.group) * F * C, C, C,
                                 [&](int r) { return min(tile.column0 + r, F - 1); });
  Sums<Tile> sums = {};
  multiply_tile<Tile>(sums, a, b, C, shared);
  store_hidden<Tile>(h + int64_t(tile.begin) * F, sums, b1 + int64_t(tile.group) * F, assignment + tile.begin,
                     dropout, tile.rows(), tile.column0, F);
}

template <class Tile>
void hidden_units(bf16* h, const bf16* x, const bf16* w1, const bf16* b1, const ExpertRows& rows,
                  const ExpertDropout& dropout) {
  launch_row_tiles<Tile>(&relu_fwd_kernel<Tile>, groups_of(rows), rows.F, device_pointer(h),
                         device_pointer(x), device_pointer(w1), device_pointer(b1), rows.assignment,
                         groups_of(rows), int(rows.K), int(rows.F), int(rows.C), Dropout(dropout));
}

}  // namespace

template <>
void relu_experts_fwd(bf16* h, bf16* outputs, const bf16* x, const bf16* w1, const bf16* b1, const bf16* w2,
                      const bf16* b2, const ExpertRows& rows, const ExpertDropout& dropout) {
  const auto run = prefers_narrow(rows.F) ? hidden_units<NarrowTile> : hidden_units<WideTile>;
  if (rows.F > 0) run(h, x, w1, b1, rows, dropout);
  grouped_linear_fwd<bf16>(outputs, h, w2, b2, rows.offsets, rows.M, rows.E, rows.C, rows.F);
}

}  // namespace rmoe::cuda
