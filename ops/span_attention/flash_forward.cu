// o_t = sum_j m_tj p_tj v_(t+j),  p_t = softmax_j q_t . (k_(t+j) + e_j) / sqrt(D),  j < L
// One block: 64 queries of one head, 16 to a warp, twice that for narrow heads; keys, values and slots stream
// by, 64 positions a step.
#include "ops/span_attention/flash.cuh"

namespace rmoe::cuda::flash {
namespace {

template <int kWidth_>
struct Config {
  static constexpr int kWidth = kWidth_, kTiles = kWidth <= 32 ? 2 : 1;  // two of 48 would spill on sm_90
  static constexpr int kQueries = 16 * kTiles * kWarps;
  using Queries = Tile<kQueries, kWidth>;
  using Keys = Tile<kBlock, kWidth>;
  using Ring = SlotRing<kWidth, kQueries / kBlock + 2>;  // the chunks in use and one on its way
  static constexpr int kMask = kQueries * kMaskWords;    // words of a stage
  // The queries are in registers before the first strip is written: they share memory.
  static_assert(kStripsBytes >= Queries::kBytes);
  static constexpr int kSharedBytes = kStripsBytes + 4 * Keys::kBytes + Ring::kBytes + 2 * kMask * 4;
};

/// p[r][c] = 0 where dropped; the factor 1 / (1 - dropout) waits for the end. Rows r of the block, slots from
/// `slot` on for the first.
template <int N>
DEVICE void drop(float (&s)[N][4], const Params& p, const uint32_t* mask, int row, int slot) {
  UNROLL for (int half = 0; half < 2; ++half) {
    const int r = fragment_row() + 8 * half;
    const Kept<N> kept(p, mask, row + r, slot - r, 0);
    UNROLL for (int n = 0; n < N; ++n) UNROLL for (int e = 2 * half; e < 2 * half + 2; ++e) if (!kept(n, e))
        s[n][e] = 0.0f;
  }
}

template <class C>
__global__ void __launch_bounds__(kThreadsPerBlock, 2) span_fwd_kernel(Params p) {
  constexpr int M = C::kTiles, N = kBlock / 8, W = C::kWidth;
  DYN_SHARED(Element, shared);
  const typename C::Queries q_tile{shared};
  float* const strip = reinterpret_cast<float*>(shared) + warp() * kStrip;
  Element* const stages = shared + kStripsBytes / sizeof(Element);
  const auto stage = [&](int i) { return typename C::Keys{stages + i * C::Keys::kElements}; };
  const typename C::Ring ring{stages + 4 * C::Keys::kElements};
  uint32_t* const masks = reinterpret_cast<uint32_t*>(ring.data + C::Ring::kBytes / sizeof(Element));
  const auto mask = [&](int j) { return masks + j % 2 * C::kMask; };

  const int T = int(p.n.T), L = int(p.n.L), blocks = (T + C::kQueries - 1) / C::kQueries;
  const int head = blockIdx.x / blocks, b = head / int(p.n.H), h = head % int(p.n.H);
  const int q0 = int(blockIdx.x % blocks) * C::kQueries, tile0 = warp() * M;  // tiles above this warp's rows
  const int row0 = q0 + 16 * tile0, steps = band_steps(min(C::kQueries, T - q0), L);
  const auto load_step = [&](int j) {
    load_rows<false>(stage(j % 2 * 2), p.of_keys(p.k, b, h), q0 + j * kBlock);
    load_rows<false>(stage(j % 2 * 2 + 1), p.of_keys(p.v, b, h), q0 + j * kBlock);
    ring.load(p, j);
    if (p.mask) load_mask<C::kQueries, kThreadsPerBlock>(mask(j), p, head, q0, q0 + j * kBlock);
    ptx::cp_async_commit();
  };

  load_rows<false>(q_tile, p.of_queries(p.q, b, h), q0);
  for (int i = -C::kQueries / kBlock; i < 0; ++i) ring.load(p, i);
  load_step(0);
  ptx::cp_async_wait<0>();
  __syncthreads();
  FragmentA q[M][W / 16];
  UNROLL for (int m = 0; m < M; ++m) UNROLL for (int i = 0; i < W / 16; ++i)
      load_a(q[m][i], q_tile, 16 * (tile0 + m), 16 * i);
  float o[M][W / 8][4] = {};
  Softmax<M> softmax;
  const float scale2 = p.scale * kLog2e;

  for (int j = 0; j < steps; ++j) {
    ptx::cp_async_wait<0>();
    __syncthreads();  // step j has landed; every warp is done with the other stage, and has its queries
    if (j + 1 < steps) load_step(j + 1);
    const int s0 = q0 + j * kBlock;
    if (s0 + kBlock - 1 < row0) continue;  // every position lies before the span of every row
    float s[M][N][4];
    UNROLL for (int m = 0; m < M; ++m) {
      write_strip(strip, q[m], ring, j, tile0 + m);
      read_skewed(s[m], strip);
    }
    multiply_transposed(s, q, stage(j % 2 * 2), 0);
    UNROLL for (int m = 0; m < M; ++m) {
      mask_band(s[m], row0 + 16 * m, s0, L);
      softmax.step(m, s[m], o[m], scale2);
      if (p.mask) drop(s[m], p, mask(j), 16 * (tile0 + m), s0 - row0 - 16 * m);
    }
    multiply(o, s, stage(j % 2 * 2 + 1), 0);
  }

  softmax.template store<false>(p.of_queries(p.o, b, h), p.lse + int64_t(head) * T, row0, o, p.keep, p.scale);
}

}  // namespace

template <int kWidth>
void span_fwd(const Params& p) {
  using C = Config<kWidth>;
  launch(span_fwd_kernel<C>, p.n.B * p.n.H * pieces(p.n.T, C::kQueries), C::kSharedBytes, p);
}

template void span_fwd<32>(const Params&);
template void span_fwd<48>(const Params&);

}  // namespace rmoe::cuda::flash
