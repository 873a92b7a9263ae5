// The gradients of SwiGLU experts.
//   hidden    dh = dy w2 of the gathered rows; its epilogue turns gate and up into their gradients, and sums
//   <h, dh> x         d_gate_up (w1, w3), whose rows alternate by eight along k w1, w3    x^T d_gate_up,
//   stored transposed: hidden units are columns of the tile, of which 112 divide 448 and 896 w2        dy^T
//   gated_h
#include "engine/cuda/for_each.cuh"
#include "ops/experts/swiglu.cuh"

namespace rmoe::cuda {
namespace {

struct HiddenGradient {
  __nv_bfloat16 *d_gate_up, *gated_h;
  const __nv_bfloat16* gate_up;  // all three begin at the tile's row 0
  int rows, F;
};

/// Fragments j and j + 1 of dh (j alone if it is the last) in the 16 rows from `row` on, whose first column
/// is `unit`. `gates` are those of rows `row` and `row` + 8, `dots` get their <h, dh>.
template <class Tile>
DEVICE void store_hidden(const HiddenGradient& to, const float (&dh)[Tile::kFragmentColumns][4], int j,
                         int row, int unit, const float (&gates)[2], float (&dots)[2]) {
  constexpr int kColumns = Tile::kFragmentColumns;
  const int quad_lane = threadIdx.x & 3, mine = 2 * unit + quad_lane * 8;
  const bool has_columns = mine < 2 * to.F && (j + 2 <= kColumns || quad_lane < 2);
  Words gated;  // of both rows
  UNROLL for (int half = 0; half < 2; ++half) {
    const bool valid = row + half * 8 < to.rows && has_columns;
    const int64_t place = int64_t(row + half * 8) * 2 * to.F + mine;
    Words words;
    if (valid) words.load(to.gate_up + place);
    words.transpose_in_quad();
    UNROLL for (int q = 0; q < 2; ++q) if (j + q < kColumns) gated.word[2 * half + q] =
        swiglu_pair_bwd(words.word[2 * q], words.word[2 * q + 1], dh[j + q][2 * half],
                        dh[j + q][2 * half + 1], gates[half], dots[half]);
    words.transpose_in_quad();
    if (valid) words.store(to.d_gate_up + place);
  }
  gated.transpose_in_quad();  // a lane has fragment quad_lane % 2 of row quad_lane / 2
  const int q = quad_lane & 1, gated_row = row + (quad_lane >> 1) * 8;
  if (gated_row < to.rows && unit + q * 8 < to.F && j + q < kColumns)
    gated.store(to.gated_h + int64_t(gated_row) * to.F + unit + q * 8);
}

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

/// partial_dots [column tiles, M]
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    hidden_kernel(__nv_bfloat16* d_gate_up, __nv_bfloat16* gated_h, float* partial_dots,
                  const __nv_bfloat16* dy, const __nv_bfloat16* w2, const float* gates,
                  const __nv_bfloat16* gate_up, const int32_t* assignment, Groups groups, int K, int F,
                  int C) {
  DYN_SHARED(__nv_bfloat16, shared);
  SHARED(float[Tile::kRows], gate_of_row);
  SHARED(float[Tile::kWarpColumns][Tile::kRows], dots);
  const int column_tiles = (F + Tile::kColumns - 1) / Tile::kColumns,
            column_tile = int(blockIdx.x) % column_tiles;
  const int column0 = column_tile * Tile::kColumns;
  const RowTile tile = find_row_tile(groups, int(blockIdx.x) / column_tiles, Tile::kRows);
  if (tile.group >= groups.E) return;
  const int rows = tile.end - tile.begin;
  for (int r = threadIdx.x; r < Tile::kRows;
       r += Tile::kThreads)  // the barriers of the product are behind it
    gate_of_row[r] = r < rows ? gates[assignment[tile.begin + r]] : 0.0f;
  const auto same = [](int k) { return k; };
  AlongK<Tile, Tile::kRows> a(dy, C, C, TokenRow{assignment, K, tile});
  AcrossK<Tile, Tile::kColumns, decltype(same)> b(w2 + int64_t(tile.group) * C * F, F, C, column0, F, same);
  Sums<Tile> sums = {};
  multiply_tile<Tile>(sums, a, b, C, shared);

  const SumPlace<Tile> at;
  const HiddenGradient to{d_gate_up + int64_t(tile.begin) * 2 * F, gated_h + int64_t(tile.begin) * F,
                          gate_up + int64_t(tile.begin) * 2 * F, rows, F};
  UNROLL for (int i = 0; i < Tile::kFragmentRows; ++i) {
    const int row = at.row + i * 16;
    const float row_gates[2] = {gate_of_row[row], gate_of_row[row + 8]};
    float sum[2] = {};
    UNROLL for (int j = 0; j < Tile::kFragmentColumns; j += 2)
        store_hidden<Tile>(to, sums[i], j, row, column0 + at.column + j * 8, row_gates, sum);
    UNROLL for (int half = 0; half < 2; ++half) {
      sum[half] += __shfl_xor_sync(kAllLanes, sum[half], 1);
      sum[half] += __shfl_xor_sync(kAllLanes, sum[half], 2);
      if (at.quad_lane == 0) dots[at.warp_column][row + half * 8] = sum[half];
    }
  }
  store_dots<Tile>(partial_dots + int64_t(column_tile) * groups.M + tile.begin, dots, rows);
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    swiglu_bwd_x_kernel(__nv_bfloat16* dx_rows, const __nv_bfloat16* d_gate_up, const __nv_bfloat16* w1,
                        const __nv_bfloat16* w3, Groups groups, int F, int C) {
  DYN_SHARED(__nv_bfloat16, shared);
  const int column_tiles = (C + Tile::kColumns - 1) / Tile::kColumns;
  const int column0 = int(blockIdx.x) % column_tiles * Tile::kColumns;
  const RowTile tile = find_row_tile(groups, int(blockIdx.x) / column_tiles, Tile::kRows);
  if (tile.group >= groups.E) return;
  const int64_t expert = int64_t(tile.group) * F * C;
  const auto unit = [](int k) { return unit_of_column(k); };
  using B = AcrossK<Tile, Tile::kColumns, decltype(unit)>;
  static_assert(B::kRowsPerPass == 8, "passes alternate between the matrices");
  AlongK<Tile, Tile::kRows> a(d_gate_up, 2 * F, 2 * F,
                              [&](int r) { return min(tile.begin + r, tile.end - 1); });
  B b(w1 + expert, w3 + expert, C, 2 * F, column0, C, unit);
  Sums<Tile> sums = {};
  multiply_tile<Tile>(sums, a, b, 2 * F, shared);
  store_tile<Tile>(dx_rows + int64_t(tile.begin) * C, sums, nullptr, tile.end - tile.begin, column0, C, 0.0f);
}

/// Where the gradient of gate_up's columns n goes: rows of dw1 and dw3, [F,C] for each expert.
struct InterleavedGradient {
  float *dw1, *dw3;  // either may be null
  int M, N;          // C, 2 F
  float beta1, beta3;

  DEVICE float* at(int e, int m, int n) const {
    float* dw = (n & 8) != 0 ? dw3 : dw1;
    return dw ? dw + (int64_t(e) * (N / 2) + unit_of_column(n)) * M + m : nullptr;
  }
  DEVICE float2 kept(int e, int m, int n) const {
    const float beta = (n & 8) != 0 ? beta3 : beta1;
    const float* from = at(e, m, n);
    return beta == 0.0f || !from ? make_float2(0.0f, 0.0f) : make_float2(beta * from[0], beta * from[M]);
  }
  DEVICE void store(int e, int m, int n, float2 value) const {
    if (float* to = at(e, m, n)) to[0] = value.x, to[M] = value.y;
  }
};

Groups groups_of(const ExpertRows& rows) { return {rows.offsets, int(rows.M), int(rows.E)}; }

/// The token of every row; 0 where it is nobody's.
void find_tokens(int32_t* tokens, const ExpertRows& rows) {
  const int32_t* const assignment = rows.assignment;
  const int K = int(rows.K);
  for_each(rows.M, [=] ON_DEVICE(int64_t m) { tokens[m] = max(assignment[m], 0) / K; });
}

template <class Tile>
void launch_hidden(bf16* d_gate_up, bf16* gated_h, float* dots, const bf16* dy, const bf16* w2,
                   const float* gates, const bf16* gate_up, const ExpertRows& rows) {
  const int column_tiles = divide_up(rows.F, Tile::kColumns);
  const Scratch<float> partial(column_tiles * rows.M);
  const float* const parts = partial.data();
  launch_tiles<Tile>(&hidden_kernel<Tile>, most_row_tiles(rows.M, rows.E, Tile::kRows) * column_tiles,
                     device_pointer(d_gate_up), device_pointer(gated_h), partial.data(), device_pointer(dy),
                     device_pointer(w2), gates, device_pointer(gate_up), rows.assignment, groups_of(rows),
                     int(rows.K), int(rows.F), int(rows.C));
  const int32_t* const slot = rows.slot;
  const int64_t M = rows.M;
  for_each(rows.N * rows.K, [=] ON_DEVICE(int64_t i) {
    float sum = 0.0f;
    if (slot[i] >= 0)
      for (int p = 0; p < column_tiles; ++p) sum += parts[p * M + slot[i]];
    dots[i] = sum;
  });
}

}  // namespace

template <>
void swiglu_experts_bwd_hidden(bf16* d_gate_up, bf16* gated_h, float* dots, const bf16* dout, const bf16* w2,
                               const float* gates, const bf16* gate_up, const ExpertRows& rows) {
  if (rows.F == 0) return;
  if (prefers_narrow(rows.F))
    launch_hidden<NarrowTile>(d_gate_up, gated_h, dots, dout, w2, gates, gate_up, rows);
  else
    launch_hidden<WideTile>(d_gate_up, gated_h, dots, dout, w2, gates, gate_up, rows);
}

template <>
void swiglu_experts_bwd_x(bf16* dx_rows, const bf16* d_gate_up, const bf16* w1, const bf16* w3,
                          const ExpertRows& rows) {
  using Tile = WideTile;
  const int blocks = most_row_tiles(rows.M, rows.E, Tile::kRows) * divide_up(rows.C, Tile::kColumns);
  launch_tiles<Tile>(&swiglu_bwd_x_kernel<Tile>, blocks, device_pointer(dx_rows), device_pointer(d_gate_up),
                     device_pointer(w1), device_pointer(w3), groups_of(rows), int(rows.F), int(rows.C));
}

template <>
void swiglu_experts_bwd_w13(float* dw1, float* dw3, const bf16* x, const bf16* d_gate_up,
                            const ExpertRows& rows, double beta1, double beta3) {
  const Scratch<int32_t> tokens(rows.M);
  find_tokens(tokens.data(), rows);
  const InterleavedGradient gradient{dw1, dw3, int(rows.C), int(2 * rows.F), float(beta1), float(beta3)};
  multiply_weights(gradient, device_pointer(x), GatheredRow{tokens.data()}, device_pointer(d_gate_up),
                   groups_of(rows));
}

template <>
void experts_bwd_w2(float* dw2, const bf16* dout, const bf16* gated_h, const ExpertRows& rows, double beta) {
  const Scratch<int32_t> tokens(rows.M);
  find_tokens(tokens.data(), rows);
  const WeightGradient<false> gradient{dw2, int(rows.C), int(rows.F), float(beta)};
  multiply_weights(gradient, device_pointer(dout), GatheredRow{tokens.data()}, device_pointer(gated_h),
                   groups_of(rows));
}

}  // namespace rmoe::cuda
