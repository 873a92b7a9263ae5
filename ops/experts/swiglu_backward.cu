// The gradients that pass through SwiGLU experts.
//   hidden_kernel    dh = dy w2, whose epilogue turns gate and up into their gradients
//   swiglu_bwd_x     d_gate_up (w1, w3): rows of the two matrices alternate by eight along k
#include "engine/cuda/for_each.cuh"
#include "ops/experts/hidden.cuh"
#include "ops/experts/swiglu.cuh"

namespace rmoe::cuda {
namespace {

struct Swiglu {
  __nv_bfloat16 *d_gate_up, *gated_h;
  const __nv_bfloat16* gate_up;
  int F;

  DEVICE void move(int row) {
    const int64_t distance = int64_t(row) * F;
    d_gate_up += 2 * distance, gated_h += distance, gate_up += 2 * distance;
  }

  template <class Tile>
  DEVICE void store(const float (&dh)[Tile::kFragmentColumns][4], int j, int row, int rows, int unit,
                    const float (&gates)[2], float (&dots)[2]) const {
    constexpr int kColumns = Tile::kFragmentColumns;
    const int quad_lane = threadIdx.x & 3, mine = 2 * unit + quad_lane * 8;
    const bool has_columns = mine < 2 * F && (j + 2 <= kColumns || quad_lane < 2);
    Words gated;  // of both rows
    UNROLL for (int half = 0; half < 2; ++half) {
      const bool valid = row + half * 8 < rows && has_columns;
      const int64_t place = int64_t(row + half * 8) * 2 * F + mine;
      Words words;
      if (valid) words.load(gate_up + place);
      words.transpose_in_quad();
      UNROLL for (int q = 0; q < 2; ++q) if (j + q < kColumns) gated.word[2 * half + q] =
          swiglu_pair_bwd(words.word[2 * q], words.word[2 * q + 1], dh[j + q][2 * half],
                          dh[j + q][2 * half + 1], gates[half], dots[half]);
      words.transpose_in_quad();
      if (valid) words.store(d_gate_up + place);
    }
    gated.transpose_in_quad();
    const PairPlace place = PairPlace::of<Tile>(j, row, rows, unit, F);
    if (place.inside) gated.store(gated_h + place.in(F));
  }
};

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    swiglu_bwd_x_kernel(__nv_bfloat16* dx_rows, const __nv_bfloat16* d_gate_up, const __nv_bfloat16* w1,
                        const __nv_bfloat16* w3, Groups groups, int F, int C) {
  DYN_SHARED(__nv_bfloat16, shared);
  const BlockTile tile = find_tile<Tile>(groups, C);
  if (tile.group >= groups.E) return;
  const int64_t expert = int64_t(tile.group) * F * C;
  const auto unit = [](int k) { return unit_of_column(k); };
  using B = AcrossK<Tile, Tile::kColumns, decltype(unit)>;
  static_assert(B::kRowsPerPass == 8, "passes alternate between the matrices");
  AlongK<Tile, Tile::kRows> a(d_gate_up, 2 * F, 2 * F,
                              [&](int r) { return min(tile.begin + r, tile.end - 1); });
  B b(w1 + expert, w3 + expert, C, 2 * F, tile.column0, C, unit);
  Sums<Tile> sums = {};
  multiply_tile<Tile>(sums, a, b, 2 * F, shared);
  store_tile<Tile>(dx_rows + int64_t(tile.begin) * C, sums, nullptr, tile.rows(), tile.column0, C, 0.0f);
}

/// dots_i = <h, dh> of its row
void give_dots(float* dots, const PartialDots& of_hidden, const ExpertRows& rows) {
  const int32_t* const slot = rows.slot;
  for_each(rows.N * rows.K, [=] ON_DEVICE(int64_t i) { dots[i] = slot[i] >= 0 ? of_hidden(slot[i]) : 0.0f; });
}

}  // namespace

template <>
void swiglu_experts_bwd_hidden(bf16* d_gate_up, bf16* gated_h, float* dots, const bf16* dout, const bf16* w2,
                               const float* gates, const bf16* gate_up, const ExpertRows& rows) {
  const Swiglu swiglu{device_pointer(d_gate_up), device_pointer(gated_h), device_pointer(gate_up),
                      int(rows.F)};
  hidden_gradient(swiglu, dout, w2, gates, rows,
                  [&](const PartialDots& of_hidden) { give_dots(dots, of_hidden, rows); });
}

template <>
void swiglu_experts_bwd_x(bf16* dx_rows, const bf16* d_gate_up, const bf16* w1, const bf16* w3,
                          const ExpertRows& rows) {
  using Tile = WideTile;
  launch_row_tiles<Tile>(&swiglu_bwd_x_kernel<Tile>, groups_of(rows), rows.C, device_pointer(dx_rows),
                         device_pointer(d_gate_up), device_pointer(w1), device_pointer(w3), groups_of(rows),
                         int(rows.F), int(rows.C));
}

}  // namespace rmoe::cuda
