// dq_t = sum_j ds_tj (k_(t+j) + e_j) / sqrt(D),  ds_tj = p_tj (m_tj dy_t . v_(t+j) - delta_t)
// One block: 64 queries of one head, 16 to a warp; keys, values and slots stream by, 64 positions a step.
#include "ops/span_attention/flash.cuh"

namespace rmoe::cuda::flash {
namespace {

template <int kWidth_>
struct Config {
  static constexpr int kWidth = kWidth_;
  using Rows = Tile<kBlock, kWidth>;
  using Ring = SlotRing<kWidth, 3>;  // two chunks in use, one on its way
  static constexpr int kMask = kBlock * kMaskWords;
  // q and dy are in registers before the first strip is written: they share memory.
  static_assert(kStripsBytes >= 2 * Rows::kBytes);
  static constexpr int kSharedBytes =
      kStripsBytes + kWarps * GradientStrip::kBytes + 4 * Rows::kBytes + Ring::kBytes + kMask * 4;
};

/// dq [16, D] += dR [16, 80 slots] e^T over the slots of the strip.
template <class Ring, int N>
DEVICE void add_slots(float (&dq)[N][4], GradientStrip strip, Ring ring, int step, int above) {
  UNROLL for (int n = 0; n < kStripColumns / 16; ++n) {
    const int slot = step * kBlock + 16 * (n - above - 1);
    FragmentA a;
    load_a(a, strip, 0, 16 * n);
    UNROLL for (int d = 0; d < N / 2; ++d) {
      FragmentPairB e;
      load_b_transposed(e, ring.chunk(slot >> 6), 16 * d, slot & 63);
      multiply_pair(dq[2 * d], dq[2 * d + 1], a, e);
    }
  }
}

template <class C>
__global__ void __launch_bounds__(kThreadsPerBlock, 2) span_bwd_queries_kernel(Params p) {
  constexpr int W = C::kWidth;
  using Rows = typename C::Rows;
  DYN_SHARED(Element, shared);
  const Rows q_tile{shared}, dy_tile{shared + Rows::kElements};
  float* const strip = reinterpret_cast<float*>(shared) + warp() * kStrip;
  Element* const gradient_strips = shared + kStripsBytes / sizeof(Element);
  const GradientStrip gradient_strip{gradient_strips + warp() * GradientStrip::kElements};
  Element* const stages = gradient_strips + kWarps * GradientStrip::kElements;
  const auto stage = [&](int i) { return Rows{stages + i * Rows::kElements}; };
  const typename C::Ring ring{stages + 4 * Rows::kElements};
  // Each warp has the mask of its own queries, in one stage: with two, two blocks would not fit into an SM of
  // sm_80 by 768 bytes.
  uint32_t* const mask =
      reinterpret_cast<uint32_t*>(ring.data + C::Ring::kBytes / sizeof(Element)) + 16 * warp() * kMaskWords;

  const int T = int(p.n.T), blocks = (T + kBlock - 1) / kBlock;
  const int head = blockIdx.x / blocks, b = head / int(p.n.H), h = head % int(p.n.H);
  const int q0 = int(blockIdx.x % blocks) * kBlock, row = 16 * warp();
  const int steps = band_steps(min(kBlock, T - q0), int(p.n.L));
  const auto load_step = [&](int j) {
    load_rows<false>(stage(j % 2 * 2), p.of_keys(p.k, b, h), q0 + j * kBlock);
    load_rows<false>(stage(j % 2 * 2 + 1), p.of_keys(p.v, b, h), q0 + j * kBlock);
    ring.load(p, j);
    ptx::cp_async_commit();
  };

  load_rows<false>(q_tile, p.of_queries(p.q, b, h), q0);
  load_rows<false>(dy_tile, p.of_queries(p.dy, b, h), q0);
  ring.load(p, -1);
  if (p.mask) load_mask<16, kLanes>(mask, p, head, q0 + row, q0);
  load_step(0);
  const RowStatistics<1> rows(p.statistics + int64_t(head) * T, q0 + row, T);
  ptx::cp_async_wait<0>();
  __syncthreads();
  FragmentA q[1][W / 16], dy[1][W / 16];
  UNROLL for (int i = 0; i < W / 16; ++i) {
    load_a(q[0][i], q_tile, row, 16 * i);
    load_a(dy[0][i], dy_tile, row, 16 * i);
  }
  clear_strips(gradient_strips);
  float dq[1][W / 8][4] = {};

  for (int j = 0; j < steps; ++j) {
    ptx::cp_async_wait<0>();
    __syncthreads();  // step j has landed; every warp is done with the other stage, and has its queries
    if (j + 1 < steps) load_step(j + 1);
    float s[1][8][4], ds[1][8][4] = {};
    write_strip(strip, q[0], ring, j, warp());
    read_skewed(s[0], strip);
    multiply_transposed(s, q, stage(j % 2 * 2), 0);
    multiply_transposed(ds, dy, stage(j % 2 * 2 + 1), 0);
    score_gradients(s[0], ds[0], rows, mask, q0 + row, q0 + j * kBlock, 0, p);
    __syncwarp();  // this warp is done with its part of the mask
    if (p.mask && j + 1 < steps) load_mask<16, kLanes>(mask, p, head, q0 + row, q0 + (j + 1) * kBlock);
    ptx::cp_async_commit();
    multiply(dq, ds, stage(j % 2 * 2), 0);
    write_gradient_strip(gradient_strip, ds[0]);
    add_slots(dq[0], gradient_strip, ring, j, warp());
  }
  store_rows<false>(p.of_queries(p.dq, b, h), q0 + row, dq[0], p.scale, p.scale);
}

}  // namespace

template <int kWidth>
void span_bwd_queries(const Params& p) {
  using C = Config<kWidth>;
  launch(span_bwd_queries_kernel<C>, p.n.B * p.n.H * pieces(p.n.T, kBlock), C::kSharedBytes, p);
}

template void span_bwd_queries<32>(const Params&);
template void span_bwd_queries<48>(const Params&);

}  // namespace rmoe::cuda::flash
