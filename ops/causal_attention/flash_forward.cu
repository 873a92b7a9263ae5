// o_t = sum_{s <= S-T+t} p_ts v_s,  p_t = softmax_s x_ts,  lse_t = log sum_s exp x_ts,
// x_ts = q_t . k_s / sqrt(D)
//
// One block: 128 queries of one head, 32 to a warp, so that each fragment of keys serves two tiles of
// queries; half as many for heads of 65 to 127. Keys and values stream through two stages of shared memory.
// Scores, probabilities, sums and, for narrow heads, the queries stay in registers.
#include "ops/attention_softmax.cuh"
#include "ops/causal_attention/flash.cuh"

namespace rmoe::cuda::flash {
namespace {

using namespace tiles;

struct Params {
  Element* o;
  float* lse;
  const Element *q, *k, *v;
  CausalSizes n;
  int unit;
  float scale;
};

/// Heads of kWidth, or, if not kWhole, of fewer, padded with zeros.
template <int kWidth_, bool kWhole_>
struct Config {
  static constexpr int kWidth = kWidth_;
  static constexpr bool kWhole = kWhole_;
  static constexpr int kTiles = kWidth <= 64 || kWhole ? 2 : 1;  // of a warp; two would spill on sm_90
  static constexpr int kQueries = 16 * kTiles * kWarps;          // of the block
  static constexpr int kKeys = kWidth <= 64 ? 64 : 32;           // of a step
  static constexpr bool kQueriesInRegisters = kWidth <= 64;
  using Queries = Tile<kQueries, kWidth>;
  using Keys = Tile<kKeys, kWidth>;
  static constexpr int kSharedBytes = Queries::kBytes + 4 * Keys::kBytes;
};

/// s[r][c] = -inf where key first_key + c lies behind position first_row + r.
template <int M, int N>
DEVICE void mask_future(float (&s)[M][N][4], int first_row, int first_key) {
  const int lead =
      first_key + fragment_column() - first_row - fragment_row();  // of this lane's first element
  UNROLL for (int m = 0; m < M; ++m) UNROLL for (int n = 0; n < N; ++n)
      UNROLL for (int e = 0; e < 4; ++e) if (lead > 16 * m + e / 2 * 8 - 8 * n - e % 2) s[m][n][e] =
          -INFINITY;
}

template <class C>
__global__ void __launch_bounds__(kThreadsPerBlock, 2) causal_fwd_kernel(Params p) {
  constexpr int M = C::kTiles, N = C::kKeys / 8, W = C::kWidth;
  DYN_SHARED(Element, shared);
  const typename C::Queries q_tile{shared};
  const auto stage = [&](int i) {
    return typename C::Keys{shared + C::Queries::kElements + i * C::Keys::kElements};
  };

  const CausalSizes& n = p.n;
  const int T = int(n.T), before = int(n.S - n.T), blocks = (T + C::kQueries - 1) / C::kQueries;
  const int head = blockIdx.x / blocks, b = head / int(n.H), h = head % int(n.H), g = h / int(n.H / n.G);
  const int q0 = (blocks - 1 - int(blockIdx.x % blocks)) * C::kQueries;  // the longest rows first
  const int row0 = q0 + warp() * 16 * M;                                 // of this warp
  const auto keys = head_of(p.k, b, g, n.S, n.G, n.D, p.unit),
             values = head_of(p.v, b, g, n.S, n.G, n.D, p.unit);
  const int steps = (before + min(q0 + C::kQueries, T) + C::kKeys - 1) / C::kKeys;
  const auto load_step = [&](int j) {
    load_rows<C::kWhole>(stage(j % 2 * 2), keys, j * C::kKeys);
    load_rows<C::kWhole>(stage(j % 2 * 2 + 1), values, j * C::kKeys);
    ptx::cp_async_commit();
  };

  load_rows<C::kWhole>(q_tile, head_of(p.q, b, h, n.T, n.H, n.D, p.unit), q0);
  load_step(0);
  FragmentA q[M][W / 16];
  float o[M][W / 8][4] = {};
  Softmax<M> softmax;
  const float scale2 = p.scale * kLog2e;

  for (int j = 0; j < steps; ++j) {
    ptx::cp_async_wait<0>();
    __syncthreads();  // step j has landed; every warp is done with the other stage
    if (j + 1 < steps) load_step(j + 1);
    if constexpr (C::kQueriesInRegisters) {
      if (j == 0)
        UNROLL for (int m = 0; m < M; ++m) UNROLL for (int i = 0; i < W / 16; ++i)
            load_a(q[m][i], q_tile, row0 - q0 + 16 * m, 16 * i);
    }
    const int key0 = j * C::kKeys;
    if (key0 > before + row0 + 16 * M - 1) continue;  // every key lies behind every row of this warp
    float s[M][N][4] = {};
    if constexpr (C::kQueriesInRegisters)
      multiply_transposed(s, q, stage(j % 2 * 2), 0);
    else
      multiply_transposed(s, q_tile, row0 - q0, stage(j % 2 * 2), 0);
    if (key0 + C::kKeys - 1 > before + row0) mask_future(s, before + row0, key0);
    UNROLL for (int m = 0; m < M; ++m) softmax.step(m, s[m], o[m], scale2);
    multiply(o, s, stage(j % 2 * 2 + 1), 0);
  }

  softmax.template store<C::kWhole>(head_of(p.o, b, h, n.T, n.H, n.D, p.unit), p.lse + int64_t(head) * T,
                                    row0, o, 1.0f, p.scale);
}

template <int kWidth, bool kWhole>
void run(const Params& p) {
  using C = Config<kWidth, kWhole>;
  launch(causal_fwd_kernel<C>, p.n.B * p.n.H * pieces(p.n.T, C::kQueries), C::kSharedBytes, p);
}

}  // namespace

void causal_fwd(Element* o, float* lse, const Element* q, const Element* k, const Element* v,
                const CausalSizes& n) {
  const Params p{o, lse, q, k, v, n, copy_unit(n.D, o, q, k, v), float(1 / sqrt(double(n.D)))};
  if (n.D == 64 && p.unit == 8) return run<64, true>(p);
  if (n.D == 128 && p.unit == 8) return run<128, true>(p);
  if (n.D <= 32) return run<32, false>(p);
  if (n.D <= 64) return run<64, false>(p);
  run<128, false>(p);
}

}  // namespace rmoe::cuda::flash
