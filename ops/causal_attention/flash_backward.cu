// The gradient of flash_forward.cu, without atomics: one kernel owns blocks of keys, another blocks of
// queries; both compute p again from q, k and lse, which makes seven products where five are useful.
//   ds_ts = p_ts (dy_t . v_s - delta_t):  dv_s = sum_t p_ts dy_t,  dk_s = sum_t ds_ts q_t / sqrt(D),
//   dq_t = sum_s ds_ts k_s / sqrt(D)
#include "ops/attention_softmax.cuh"
#include "ops/attention_statistics.cuh"
#include "ops/causal_attention/flash.cuh"

namespace rmoe::cuda::flash {
namespace {

using namespace tiles;

struct Params {
  Element *dq, *dk, *dv;
  const Element *q, *k, *v, *dy;
  const float2* statistics;  // [B,H,T]: lse log2(e), delta
  CausalSizes n;
  int unit;
  float scale;

  template <class T>
  DEVICE Head<T> of_queries(T* x, int b, int h) const {
    return head_of(x, b, h, n.T, n.H, n.D, unit);
  }
  template <class T>
  DEVICE Head<T> of_keys(T* x, int b, int g) const {
    return head_of(x, b, g, n.S, n.G, n.D, unit);
  }
};

// ---- dk and dv: 64 keys to a block, 16 to a warp; queries stream by ---------------------------------------

// The scores are transposed, [keys, queries]: p and ds come out as the A fragments of the products that
// follow, and every warp keeps the gradients of its own keys in registers. Two tiles of keys would spill.

template <int kWidth_, bool kWhole_>
struct KeyConfig {
  static constexpr int kWidth = kWidth_;
  static constexpr bool kWhole = kWhole_;
  static constexpr int kKeys = 16 * kWarps, kQueries = kWidth <= 64 ? 64 : 32;  // of a block; of a step
  static constexpr bool kKeysInRegisters = kWidth <= 64;
  using Keys = Tile<kKeys, kWidth>;
  using Queries = Tile<kQueries, kWidth>;
  static constexpr int kSharedBytes =
      2 * Keys::kBytes + 4 * Queries::kBytes + 2 * kQueries * int(sizeof(float2));
};

/// s[key][query] = p, zero where the key lies behind the query's position.
template <int N>
DEVICE void probabilities_of_keys(float (&s)[1][N][4], const float2* statistics, float scale2, int first_key,
                                  int first_position) {
  const int lead =
      first_key + fragment_row() - first_position - fragment_column();  // of this lane's first element
  const bool diagonal = first_key + 15 > first_position;
  UNROLL for (int n = 0; n < N; ++n) {
    const float4 two = *reinterpret_cast<const float4*>(statistics + 8 * n + fragment_column());
    UNROLL for (int e = 0; e < 4; ++e) {
      s[0][n][e] = ptx::exp2_fast(fmaf(s[0][n][e], scale2, -(e % 2 ? two.z : two.x)));
      if (diagonal && lead > 8 * n + e % 2 - e / 2 * 8) s[0][n][e] = 0.0f;
    }
  }
}

/// p[key][query] becomes ds = p (dp - delta).
template <int N>
DEVICE void score_gradients_of_keys(float (&p)[1][N][4], const float (&dp)[1][N][4],
                                    const float2* statistics) {
  UNROLL for (int n = 0; n < N; ++n) {
    const float4 two = *reinterpret_cast<const float4*>(statistics + 8 * n + fragment_column());
    UNROLL for (int e = 0; e < 4; ++e) p[0][n][e] *= dp[0][n][e] - (e % 2 ? two.w : two.y);
  }
}

template <class C>
__global__ void __launch_bounds__(kThreadsPerBlock, 2) causal_bwd_keys_kernel(Params p) {
  constexpr int N = C::kQueries / 8, W = C::kWidth;
  DYN_SHARED(Element, shared);
  const typename C::Keys k_tile{shared}, v_tile{shared + C::Keys::kElements};
  Element* const stages = shared + 2 * C::Keys::kElements;
  const auto q_stage = [&](int j) { return typename C::Queries{stages + j % 2 * 2 * C::Queries::kElements}; };
  const auto dy_stage = [&](int j) {
    return typename C::Queries{stages + (j % 2 * 2 + 1) * C::Queries::kElements};
  };
  float2* const statistics = reinterpret_cast<float2*>(stages + 4 * C::Queries::kElements);
  const auto statistics_stage = [&](int j) { return statistics + j % 2 * C::kQueries; };

  const CausalSizes& n = p.n;
  const int T = int(n.T), before = int(n.S - n.T), blocks = (int(n.S) + C::kKeys - 1) / C::kKeys;
  const int head = blockIdx.x / blocks, b = head / int(n.G), g = head % int(n.G), group = int(n.H / n.G);
  const int k0 = int(blockIdx.x % blocks) * C::kKeys, row = warp() * 16;
  const int first = max(0, k0 - before) / C::kQueries,
            per_head = max(0, (T + C::kQueries - 1) / C::kQueries - first);
  const int steps = group * per_head;  // over the query heads that share these keys
  const auto load_step = [&](int j) {
    const int h = g * group + j / per_head, q0 = (first + j % per_head) * C::kQueries;
    load_rows<C::kWhole>(q_stage(j), p.of_queries(p.q, b, h), q0);
    load_rows<C::kWhole>(dy_stage(j), p.of_queries(p.dy, b, h), q0);
    load_statistics<C::kQueries>(statistics_stage(j), p.statistics + (int64_t(b) * n.H + h) * T, q0, T);
    ptx::cp_async_commit();
  };

  load_rows<C::kWhole>(k_tile, p.of_keys(p.k, b, g), k0);
  load_rows<C::kWhole>(v_tile, p.of_keys(p.v, b, g), k0);
  if (steps > 0) load_step(0);
  FragmentA k[1][W / 16], v[1][W / 16];
  float dk[1][W / 8][4] = {}, dv[1][W / 8][4] = {};
  const float scale2 = p.scale * kLog2e;

  for (int j = 0; j < steps; ++j) {
    ptx::cp_async_wait<0>();
    __syncthreads();  // step j has landed; every warp is done with the other stage
    if (j + 1 < steps) load_step(j + 1);
    if constexpr (C::kKeysInRegisters) {
      if (j == 0) UNROLL for (int i = 0; i < W / 16; ++i) {
          load_a(k[0][i], k_tile, row, 16 * i);
          load_a(v[0][i], v_tile, row, 16 * i);
        }
    }
    const int position0 = before + (first + j % per_head) * C::kQueries;
    if (k0 + row > position0 + C::kQueries - 1) continue;  // every key of this warp lies behind every query
    float s[1][N][4] = {}, dp[1][N][4] = {};
    if constexpr (C::kKeysInRegisters)
      multiply_transposed(s, k, q_stage(j), 0);
    else
      multiply_transposed(s, k_tile, row, q_stage(j), 0);
    probabilities_of_keys(s, statistics_stage(j), scale2, k0 + row, position0);
    multiply(dv, s, dy_stage(j), 0);
    if constexpr (C::kKeysInRegisters)
      multiply_transposed(dp, v, dy_stage(j), 0);
    else
      multiply_transposed(dp, v_tile, row, dy_stage(j), 0);
    score_gradients_of_keys(s, dp, statistics_stage(j));
    multiply(dk, s, q_stage(j), 0);
  }
  if (p.dk) store_rows<C::kWhole>(p.of_keys(p.dk, b, g), k0 + row, dk[0], p.scale, p.scale);
  if (p.dv) store_rows<C::kWhole>(p.of_keys(p.dv, b, g), k0 + row, dv[0], 1.0f, 1.0f);
}

// ---- dq: blocks of queries; keys stream by ----------------------------------------------------------------

template <int kWidth_, bool kWhole_>
struct QueryConfig {
  static constexpr int kWidth = kWidth_;
  static constexpr bool kWhole = kWhole_;
  static constexpr int kTiles = kWidth <= 64 ? 2 : 1,
                       kQueries = 16 * kTiles * kWarps;               // of a warp, of the block
  static constexpr int kKeys = kWidth <= 64 ? 64 : 32, kAtOnce = 32;  // of a step, taken at once
  using Queries = Tile<kQueries, kWidth>;
  using Keys = Tile<kKeys, kWidth>;
  static constexpr int kSharedBytes = 2 * Queries::kBytes + 4 * Keys::kBytes;
};

/// dp[query][key] becomes ds, from the scores s.
template <int M, int N>
DEVICE void score_gradients_of_queries(const float (&s)[M][N][4], float (&dp)[M][N][4],
                                       const RowStatistics<M>& rows, float scale2, int first_position,
                                       int first_key) {
  const int lead =
      first_key + fragment_column() - first_position - fragment_row();  // of this lane's first element
  const bool diagonal = first_key + 8 * N - 1 > first_position;
  UNROLL for (int m = 0; m < M; ++m) UNROLL for (int n = 0; n < N; ++n) UNROLL for (int e = 0; e < 4; ++e) {
    float probability = ptx::exp2_fast(fmaf(s[m][n][e], scale2, -rows.of[m][e / 2].x));
    if (diagonal && lead > 16 * m + e / 2 * 8 - 8 * n - e % 2) probability = 0.0f;
    dp[m][n][e] = probability * (dp[m][n][e] - rows.of[m][e / 2].y);
  }
}

template <class C>
__global__ void __launch_bounds__(kThreadsPerBlock, 2) causal_bwd_queries_kernel(Params p) {
  constexpr int M = C::kTiles, N = C::kAtOnce / 8, W = C::kWidth;
  DYN_SHARED(Element, shared);
  const typename C::Queries q_tile{shared}, dy_tile{shared + C::Queries::kElements};
  const auto stage = [&](int i) {
    return typename C::Keys{shared + 2 * C::Queries::kElements + i * C::Keys::kElements};
  };

  const CausalSizes& n = p.n;
  const int T = int(n.T), before = int(n.S - n.T), blocks = (T + C::kQueries - 1) / C::kQueries;
  const int head = blockIdx.x / blocks, b = head / int(n.H), h = head % int(n.H), g = h / int(n.H / n.G);
  const int q0 = (blocks - 1 - int(blockIdx.x % blocks)) * C::kQueries;  // the longest rows first
  const int row = warp() * 16 * M;
  const int steps = (before + min(q0 + C::kQueries, T) + C::kKeys - 1) / C::kKeys;
  const auto load_step = [&](int j) {
    load_rows<C::kWhole>(stage(j % 2 * 2), p.of_keys(p.k, b, g), j * C::kKeys);
    load_rows<C::kWhole>(stage(j % 2 * 2 + 1), p.of_keys(p.v, b, g), j * C::kKeys);
    ptx::cp_async_commit();
  };

  load_rows<C::kWhole>(q_tile, p.of_queries(p.q, b, h), q0);
  load_rows<C::kWhole>(dy_tile, p.of_queries(p.dy, b, h), q0);
  load_step(0);
  const RowStatistics<M> rows(p.statistics + int64_t(head) * T, q0 + row, T);
  float dq[M][W / 8][4] = {};
  const float scale2 = p.scale * kLog2e;

  for (int j = 0; j < steps; ++j) {
    ptx::cp_async_wait<0>();
    __syncthreads();  // step j has landed; every warp is done with the other stage
    if (j + 1 < steps) load_step(j + 1);
    for (int column = 0; column < C::kKeys; column += C::kAtOnce) {
      const int key0 = j * C::kKeys + column;
      if (key0 > before + q0 + row + 16 * M - 1) break;  // every key lies behind every row of this warp
      float s[M][N][4] = {}, ds[M][N][4] = {};
      multiply_transposed(s, q_tile, row, stage(j % 2 * 2), column);
      multiply_transposed(ds, dy_tile, row, stage(j % 2 * 2 + 1), column);
      score_gradients_of_queries(s, ds, rows, scale2, before + q0 + row, key0);
      multiply(dq, ds, stage(j % 2 * 2), column);
    }
  }
  UNROLL for (int m = 0; m < M; ++m)
      store_rows<C::kWhole>(p.of_queries(p.dq, b, h), q0 + row + 16 * m, dq[m], p.scale, p.scale);
}

template <int kWidth, bool kWhole>
void run(const Params& p) {
  using K = KeyConfig<kWidth, kWhole>;
  using Q = QueryConfig<kWidth, kWhole>;
  if (p.dk || p.dv)
    launch(causal_bwd_keys_kernel<K>, p.n.B * p.n.G * pieces(p.n.S, K::kKeys), K::kSharedBytes, p);
  if (p.dq)
    launch(causal_bwd_queries_kernel<Q>, p.n.B * p.n.H * pieces(p.n.T, Q::kQueries), Q::kSharedBytes, p);
}

}  // namespace

void causal_bwd(Element* dq, Element* dk, Element* dv, const Element* dy, const Element* q, const Element* k,
                const Element* v, const Element* o, const float* lse, const CausalSizes& n) {
  const Scratch<float2> statistics(n.B * n.H * n.T);
  row_statistics(statistics.data(), lse, dy, o, n.B, n.T, n.H, n.D, kLog2e);
  const int unit = copy_unit(n.D, dq, dk, dv, dy, q, k, v);
  const Params p{dq, dk, dv, q, k, v, dy, statistics.data(), n, unit, float(1 / sqrt(double(n.D)))};
  if (n.D == 64 && unit == 8) return run<64, true>(p);
  if (n.D == 128 && unit == 8) return run<128, true>(p);
  if (n.D <= 32) return run<32, false>(p);
  if (n.D <= 64) return run<64, false>(p);
  run<128, false>(p);
}

}  // namespace rmoe::cuda::flash
