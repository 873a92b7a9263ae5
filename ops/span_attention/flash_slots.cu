// dkey_pe_dj = sum_bht ds_t(t+j) q_td / sqrt(D), in two stages.
// A tile of 64 queries from t and 64 positions from t + 64 i holds the 127 slots around 64 i: tiles of one
// diagonal i share their slots, whatever b, h and t are. So a block owns a diagonal and a slice of all (b, h,
// t), keeps its sum [128 slots, D] in registers over the whole slice and writes it once. The second stage
// adds the slices in order.
#include "engine/cuda/for_each.cuh"
#include "ops/span_attention/flash.cuh"

namespace rmoe::cuda::flash {
namespace {

constexpr int kSlices = 32;         // at most: a number that no device sets
constexpr int kSlots = 2 * kBlock;  // of a diagonal: slot j is slot 64 (diagonal - 1) + j of the span

template <int kWidth_>
struct Config {
  static constexpr int kWidth = kWidth_, kAtOnce = kBlock / 2;  // the sums leave registers for half a step
  using Rows = Tile<kBlock, kWidth>;
  using Ring = SlotRing<kWidth, 2>;
  static constexpr int kMask = kBlock * kMaskWords, kTiles = 4 * Rows::kBytes;
  static_assert(kTiles >= kSlots * kWidth * int(sizeof(float)));  // after the loop the block's sum
  static constexpr int kSharedBytes =
      kTiles + kStripsBytes + Ring::kBytes + kWarps * GradientStrip::kBytes + kMask * 4;
};

struct Slices {
  float* parts;  // [slices, diagonals, width, kSlots]
  int slices, diagonals;
};

/// sums [80 slots, D] += dR [16 queries, 80 slots]^T q; the queries begin at `row` of the tile.
template <class TileT, int N>
DEVICE void add_to_slots(float (&sums)[kStripColumns / 16][N][4], GradientStrip strip, TileT q_tile,
                         int row) {
  FragmentPairB q[N / 2];
  UNROLL for (int d = 0; d < N / 2; ++d) load_b(q[d], q_tile, row, 16 * d);
  UNROLL for (int n = 0; n < kStripColumns / 16; ++n) {
    FragmentA a;
    load_a_transposed(a, strip, 0, 16 * n);
    UNROLL for (int d = 0; d < N / 2; ++d) multiply_pair(sums[n][2 * d], sums[n][2 * d + 1], a, q[d]);
  }
}

/// The four warps add up in order: slot n of warp w's strip is slot n + 48 - 16 w of the block. `total`
/// [width, kSlots].
template <int N>
DEVICE void store_sums(float* to, float* total, const float (&sums)[kStripColumns / 16][N][4]) {
  __syncthreads();  // the tiles give way
  for (int i = threadIdx.x; i < 8 * N * kSlots; i += kThreadsPerBlock) total[i] = 0.0f;
  for (int w = 0; w < kWarps; ++w) {
    __syncthreads();
    if (warp() != w) continue;
    UNROLL for (int n = 0; n < kStripColumns / 16; ++n) UNROLL for (int i = 0; i < N; ++i)
        UNROLL for (int e = 0; e < 4; ++e) {
      const int slot = 16 * n + fragment_row() + e / 2 * 8 + 48 - 16 * w,
                d = 8 * i + fragment_column() + e % 2;
      total[d * kSlots + slot] += sums[n][i][e];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 8 * N * kSlots; i += kThreadsPerBlock) to[i] = total[i];
}

template <class C>
__global__ void __launch_bounds__(kThreadsPerBlock, 2) span_bwd_slots_kernel(Params p, Slices s) {
  constexpr int W = C::kWidth, N = C::kAtOnce / 8;
  using Rows = typename C::Rows;
  DYN_SHARED(Element, shared);
  const Rows q_tile{shared}, dy_tile{shared + Rows::kElements};
  const Rows k_tile{shared + 2 * Rows::kElements}, v_tile{shared + 3 * Rows::kElements};
  float* const strips = reinterpret_cast<float*>(shared + C::kTiles / sizeof(Element));
  float* const strip = strips + warp() * kStrip;
  const typename C::Ring ring{reinterpret_cast<Element*>(strips + kWarps * kStrip)};
  Element* const gradient_strips = ring.data + C::Ring::kBytes / sizeof(Element);
  const GradientStrip gradient_strip{gradient_strips + warp() * GradientStrip::kElements};
  uint32_t* const mask = reinterpret_cast<uint32_t*>(gradient_strips + kWarps * GradientStrip::kElements);

  const int T = int(p.n.T), tiles = (T + kBlock - 1) / kBlock, row = 16 * warp();
  const int diagonal = blockIdx.x % s.diagonals, slice = blockIdx.x / s.diagonals;
  const int64_t items = p.n.B * p.n.H * tiles;
  ring.load(p, diagonal - 1);
  ring.load(p, diagonal);
  clear_strips(gradient_strips);
  float sums[kStripColumns / 16][W / 8][4] = {};

  for (int64_t item = slice * items / s.slices; item < (slice + 1) * items / s.slices; ++item) {
    const int head = int(item / tiles), b = head / int(p.n.H), h = head % int(p.n.H);
    const int t0 = int(item % tiles) * kBlock, s0 = t0 + diagonal * kBlock;
    __syncthreads();  // every warp is done with the last item
    load_rows<false>(q_tile, p.of_queries(p.q, b, h), t0);
    load_rows<false>(dy_tile, p.of_queries(p.dy, b, h), t0);
    load_rows<false>(k_tile, p.of_keys(p.k, b, h), s0);
    load_rows<false>(v_tile, p.of_keys(p.v, b, h), s0);
    if (p.mask) load_mask<kBlock, kThreadsPerBlock>(mask, p, head, t0, s0);
    ptx::cp_async_commit();
    const RowStatistics<1> rows(p.statistics + int64_t(head) * T, t0 + row, T);
    ptx::cp_async_wait<0>();
    __syncthreads();
    FragmentA q[1][W / 16];
    UNROLL for (int i = 0; i < W / 16; ++i) load_a(q[0][i], q_tile, row, 16 * i);
    write_strip(strip, q[0], ring, diagonal, warp());
    for (int column = 0; column < kBlock; column += C::kAtOnce) {
      float score[1][N][4], ds[1][N][4] = {};
      read_skewed(score[0], strip, column);
      multiply_transposed(score, q, k_tile, column);
      multiply_transposed(ds, dy_tile, row, v_tile, column);
      score_gradients(score[0], ds[0], rows, mask + row * kMaskWords, t0 + row, s0, column, p);
      write_gradient_strip(gradient_strip, ds[0], column);
    }
    add_to_slots(sums, gradient_strip, q_tile, row);
  }
  store_sums(s.parts + int64_t(blockIdx.x) * W * kSlots, reinterpret_cast<float*>(shared), sums);
}

}  // namespace

template <int kWidth>
void span_bwd_slots(const Params& p, float beta) {
  using C = Config<kWidth>;
  const int64_t items = p.n.B * p.n.H * pieces(p.n.T, kBlock), L = p.n.L;
  const int slices = int(items < kSlices ? items : kSlices), diagonals = band_steps(kBlock, int(L));
  const Scratch<float> parts(int64_t(slices) * diagonals * kWidth * kSlots);
  launch(span_bwd_slots_kernel<C>, int64_t(slices) * diagonals, C::kSharedBytes, p,
         Slices{parts.data(), slices, diagonals});
  const float* from = parts.data();
  float* to = p.dkey_pe;
  const float scale = p.scale;
  for_each(p.n.D * L, [=] ON_DEVICE(int64_t i) {
    const int64_t d = i / L, j = i % L,
                  diagonal = j / kBlock;  // the second half of its slots; the first of the next
    float sum = 0.0f;
    for (int64_t slice = 0; slice < slices; ++slice) {
      const float* part = from + ((slice * diagonals + diagonal) * kWidth + d) * kSlots + j % kBlock;
      sum += part[kBlock];
      if (diagonal + 1 < diagonals) sum += part[kWidth * kSlots];
    }
    put(to[i], scale * sum, beta);
  });
}

template void span_bwd_slots<32>(const Params&, float);
template void span_bwd_slots<48>(const Params&, float);

}  // namespace rmoe::cuda::flash
