// dv_s = sum_t m_t(s-t) p_t(s-t) dy_t,  dk_s = sum_t ds_t(s-t) q_t / sqrt(D)
// One block: 64 positions of one head, 16 to a warp; queries and slots stream by, 64 queries a step. Scores
// are transposed, [positions, queries]: p and ds come out as the A fragments of the products that follow.
// Strips cannot be, for one of 16 positions would hold 80 slots of 64 queries: each warp computes that of 16
// queries, and all warps read all four.
#include "ops/span_attention/flash.cuh"

namespace rmoe::cuda::flash {
namespace {

template <int kWidth_>
struct Config {
  static constexpr int kWidth = kWidth_, kAtOnce = kBlock / 2;
  using Rows = Tile<kBlock, kWidth>;
  using Ring = SlotRing<kWidth, 3>;                  // two chunks in use, one on its way
  static constexpr int kMask = kBlock * kMaskWords;  // words of a stage
  // k and v are in registers before the first strip is written: they share memory.
  static_assert(kStripsBytes >= 2 * Rows::kBytes);
  static constexpr int kSharedBytes = kStripsBytes + 4 * Rows::kBytes + Ring::kBytes +
                                      2 * kBlock * int(sizeof(float2)) + kBlock * int(sizeof(uint2)) +
                                      2 * kMask * 4;
};

/// kept[query].x and .y: which of the block's first and last 32 positions the step's queries keep.
DEVICE void align_masks(uint2* kept, const uint32_t* mask, int first_query, int first_position) {
  for (int i = threadIdx.x; i < 2 * kBlock; i += kThreadsPerBlock) {
    const int query = i / 2, part = i % 2;
    const uint32_t bits = mask_bits(mask + query * kMaskWords, first_position - first_query - query, part);
    reinterpret_cast<uint32_t*>(kept)[i] = bits;
  }
}

/// s[position][query] = p, negative where dropped, for 8 N queries; `row` of the block is the warp's first
/// position, `first_slot` what the first query has there.
template <int N>
DEVICE void probabilities(float (&s)[N][4], const float2* statistics, const uint2* kept, int row,
                          int first_slot, const Params& p) {
  const float scale2 = p.scale * kLog2e;
  if (first_slot - 8 * N + 1 < 0 || first_slot + 15 >= p.n.L) {
    const int slot = first_slot + fragment_row() - fragment_column();  // of this lane's first element
    UNROLL for (int n = 0; n < N; ++n)
        UNROLL for (int e = 0; e < 4; ++e) if (unsigned(slot + e / 2 * 8 - 8 * n - e % 2) >= unsigned(p.n.L))
            s[n][e] = -INFINITY;
  }
  const int bit = row % 32 + fragment_row();
  UNROLL for (int n = 0; n < N; ++n) {
    const float4 two = *reinterpret_cast<const float4*>(statistics + 8 * n + fragment_column());
    UNROLL for (int e = 0; e < 4; ++e) s[n][e] =
        ptx::exp2_fast(fmaf(s[n][e], scale2, -(e % 2 ? two.z : two.x)));
    if (!p.mask) continue;
    const uint4 words = *reinterpret_cast<const uint4*>(kept + 8 * n + fragment_column());
    UNROLL for (int e = 0; e < 4; ++e) {
      const uint32_t word = row < 32 ? (e % 2 ? words.z : words.x) : (e % 2 ? words.w : words.y);
      if (!(word >> (bit + e / 2 * 8) & 1)) s[n][e] = -s[n][e];
    }
  }
}

/// dv[position][d] += max(p, 0) dy: what is negative was dropped. The queries begin at `row` of the tile.
template <int N, int kOut, class TileT>
DEVICE void add_kept(float (&dv)[1][kOut][4], const float (&p)[N][4], TileT dy_tile, int row) {
  float kept[1][N][4];
  UNROLL for (int n = 0; n < N; ++n) UNROLL for (int e = 0; e < 4; ++e) kept[0][n][e] = fmaxf(p[n][e], 0.0f);
  multiply(dv, kept, dy_tile, row);
}

/// p[position][query] becomes ds = |p| (m dp - delta).
template <int N>
DEVICE void transposed_gradients(float (&p)[N][4], const float (&dp)[N][4], const float2* statistics,
                                 float keep) {
  UNROLL for (int n = 0; n < N; ++n) {
    const float4 two = *reinterpret_cast<const float4*>(statistics + 8 * n + fragment_column());
    UNROLL for (int e = 0; e < 4; ++e) {
      const float delta = e % 2 ? two.w : two.y;
      p[n][e] = fabsf(p[n][e]) * (p[n][e] > 0.0f ? fmaf(dp[n][e], keep, -delta) : -delta);
    }
  }
}

template <class C>
__global__ void __launch_bounds__(kThreadsPerBlock, 2) span_bwd_keys_kernel(Params p) {
  constexpr int W = C::kWidth, N = C::kAtOnce / 8;
  using Rows = typename C::Rows;
  DYN_SHARED(Element, shared);
  const Rows k_tile{shared}, v_tile{shared + Rows::kElements};
  float* const strips = reinterpret_cast<float*>(shared);
  Element* const stages = shared + kStripsBytes / sizeof(Element);
  const auto stage = [&](int i) { return Rows{stages + i * Rows::kElements}; };
  const typename C::Ring ring{stages + 4 * Rows::kElements};
  float2* const statistics = reinterpret_cast<float2*>(ring.data + C::Ring::kBytes / sizeof(Element));
  uint2* const kept = reinterpret_cast<uint2*>(statistics + 2 * kBlock);
  uint32_t* const masks = reinterpret_cast<uint32_t*>(kept + kBlock);
  const auto mask = [&](int i) { return masks + i % 2 * C::kMask; };

  const int T = int(p.n.T), L = int(p.n.L), blocks = (L + T + kBlock - 1) / kBlock,
            block = blockIdx.x % blocks;
  const int head = blockIdx.x / blocks, b = head / int(p.n.H), h = head % int(p.n.H);
  const int s0 = block * kBlock, row = 16 * warp();
  const int first = max(0, block - band_steps(kBlock, L) + 1),
            end = min(block + 1, (T + kBlock - 1) / kBlock);
  const auto load_step = [&](int i) {  // block i of queries
    load_rows<false>(stage(i % 2 * 2), p.of_queries(p.q, b, h), i * kBlock);
    load_rows<false>(stage(i % 2 * 2 + 1), p.of_queries(p.dy, b, h), i * kBlock);
    load_statistics<kBlock>(statistics + i % 2 * kBlock, p.statistics + int64_t(head) * T, i * kBlock, T);
    ring.load(p, block - i - 1);
    if (p.mask) load_mask<kBlock, kThreadsPerBlock>(mask(i), p, head, i * kBlock, s0);
    ptx::cp_async_commit();
  };

  load_rows<false>(k_tile, p.of_keys(p.k, b, h), s0);
  load_rows<false>(v_tile, p.of_keys(p.v, b, h), s0);
  if (first < end) {
    ring.load(p, block - first);
    load_step(first);
  }
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  __syncthreads();
  FragmentA k[1][W / 16], v[1][W / 16];
  UNROLL for (int i = 0; i < W / 16; ++i) {
    load_a(k[0][i], k_tile, row, 16 * i);
    load_a(v[0][i], v_tile, row, 16 * i);
  }
  float dk[1][W / 8][4] = {}, dv[1][W / 8][4] = {};

  for (int i = first; i < end; ++i) {
    ptx::cp_async_wait<0>();
    __syncthreads();  // step i has landed; every warp is done with the other stage, the strips and k and v
    if (i + 1 < end) load_step(i + 1);
    const Rows q_tile = stage(i % 2 * 2), dy_tile = stage(i % 2 * 2 + 1);
    const float2* const of_step = statistics + i % 2 * kBlock;
    {
      FragmentA q[W / 16];
      UNROLL for (int d = 0; d < W / 16; ++d) load_a(q[d], q_tile, row, 16 * d);
      write_strip(strips + warp() * kStrip, q, ring, block - i, warp());
    }
    if (p.mask) align_masks(kept, mask(i), i * kBlock, s0);
    __syncthreads();  // all four strips are written, and the masks
#pragma unroll 1      // half a step at a time: registers
    for (int query = 0; query < kBlock; query += C::kAtOnce) {
      float score[1][N][4], dp[1][N][4] = {};
      UNROLL for (int n = 0; n < N; ++n) UNROLL for (int e = 0; e < 4; ++e) score[0][n][e] =
          strips[skewed(query + 8 * n + fragment_column() + e % 2, row + fragment_row() + e / 2 * 8)];
      multiply_transposed(score, k, q_tile, query);
      probabilities(score[0], of_step + query, kept + query, row, s0 + row - i * kBlock - query, p);
      add_kept(dv, score[0], dy_tile, query);
      multiply_transposed(dp, v, dy_tile, query);
      transposed_gradients(score[0], dp[0], of_step + query, p.keep);
      multiply(dk, score, q_tile, query);
    }
  }
  if (p.dk) store_rows<false>(p.of_keys(p.dk, b, h), s0 + row, dk[0], p.scale, p.scale);
  if (p.dv) store_rows<false>(p.of_keys(p.dv, b, h), s0 + row, dv[0], p.keep, p.keep);
}

}  // namespace

template <int kWidth>
void span_bwd_keys(const Params& p) {
  using C = Config<kWidth>;
  launch(span_bwd_keys_kernel<C>, p.n.B * p.n.H * pieces(p.n.L + p.n.T, kBlock), C::kSharedBytes, p);
}

template void span_bwd_keys<32>(const Params&);
template void span_bwd_keys<48>(const Params&);

}  // namespace rmoe::cuda::flash
