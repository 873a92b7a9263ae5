// o_t = sum_{s <= S-T+t} p_ts v_s,  p_t = softmax_s(q_t . k_s / sqrt(D)): rows are queries, columns keys.
// Backward with delta_t = sum_d dy_td o_td: ds_ts = p_ts (dy_t . v_s - delta_t),
// dq_t = sum_s ds_ts k_s / sqrt(D); then rows are keys, columns queries:
// dk_s = sum_t ds_ts q_t / sqrt(D), dv_s = sum_t p_ts dy_t.
#include "ops/attention_plain.cuh"
#include "ops/attention_statistics.cuh"
#include "ops/causal_attention/plain.cuh"

namespace rmoe::cuda::plain {
namespace {

template <class T>
struct Params {
  T *o, *dq, *dk, *dv;
  float* lse;
  const float2* statistics;  // [B,H,T]: lse, delta
  const T *q, *k, *v, *dy;
  CausalSizes n;
  float scale;
};

/// Rows of queries [first, first + kRows) of head h; they see keys [0, keys).
struct Queries {
  DEVICE explicit Queries(const CausalSizes& n) {
    const int64_t tiles = (n.T + kRows - 1) / kRows;
    first = int(tiles - 1 - blockIdx.x % tiles) * kRows;  // the longest rows first
    head = blockIdx.x / tiles;
    b = head / n.H, h = head % n.H, g = h / (n.H / n.G);
    row = first + first_row_of_warp();
    before = int(n.S - n.T);
    keys = min(int(n.S), before + first + kRows);
  }
  int first, row, before, keys;  // first of the block, row of the warp
  int64_t head, b, h, g;
};

constexpr int kForwardRows = 2, kForwardColumns = 2;    // q, o; k, v
constexpr int kBackwardRows = 3, kBackwardColumns = 2;  // q, dy, dq; k, v
constexpr int kKeyRows = 4, kKeyColumns = 2;            // k, v, dk, dv; q, dy

int64_t shared_floats(int64_t rows, int64_t columns, int64_t D) {
  return rows * kRows * D + columns * kColumns * pitch_of(int(D)) + 2 * kRows * kColumns;
}

template <class T>
__global__ void __launch_bounds__(kThreadsPerBlock, kBlocksPerSm) causal_fwd_kernel(Params<T> p) {
  DYN_SHARED(float, shared);
  const int D = int(p.n.D);
  float *q = shared, *o = q + kRows * D, *k = o + kRows * D, *v = k + kColumns * pitch_of(D);
  float* weights = v + kColumns * pitch_of(D);
  const Queries rows(p.n);
  const auto keys = head_of(p.k, rows.b, rows.g, p.n.S, p.n.G, D),
             values = head_of(p.v, rows.b, rows.g, p.n.S, p.n.G, D);
  load(q, D, head_of(p.q, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, kRows, D, p.scale);
  clear(o, kRows * D);
  Softmax softmax;
  for (int s = 0; s < rows.keys; s += kColumns) {
    __syncthreads();
    load(k, pitch_of(D), keys, s, kColumns, D);
    load(v, pitch_of(D), values, s, kColumns, D);
    __syncthreads();
    float score[kWarpRows], keep[kWarpRows];
    multiply(score, q, k, D);
    UNROLL for (int r = 0; r < kWarpRows; ++r) if (s + lane() > rows.before + rows.row + r) score[r] =
        -INFINITY;
    softmax.step(score, keep);
    share(weights, score);
    accumulate(o, keep, weights, D, [=](int, int c, int d) { return v[c * pitch_of(D) + d]; });
  }
  float inverse[kWarpRows];
  softmax.finish(inverse, p.lse + rows.head * p.n.T, rows.row, int(p.n.T));
  store(head_of(p.o, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, o, D, inverse);
}

template <class T>
__global__ void __launch_bounds__(kThreadsPerBlock, kBlocksPerSm) causal_bwd_queries_kernel(Params<T> p) {
  DYN_SHARED(float, shared);
  const int D = int(p.n.D);
  float *q = shared, *dy = q + kRows * D, *dq = dy + kRows * D, *k = dq + kRows * D,
        *v = k + kColumns * pitch_of(D);
  float* weights = v + kColumns * pitch_of(D);
  const Queries rows(p.n);
  const auto keys = head_of(p.k, rows.b, rows.g, p.n.S, p.n.G, D),
             values = head_of(p.v, rows.b, rows.g, p.n.S, p.n.G, D);
  load(q, D, head_of(p.q, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, kRows, D, p.scale);
  load(dy, D, head_of(p.dy, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, kRows, D);
  clear(dq, kRows * D);
  float2 statistics[kWarpRows];
  UNROLL for (int r = 0; r < kWarpRows; ++r) {
    const int t = rows.row + r;
    statistics[r] = t < p.n.T ? p.statistics[rows.head * p.n.T + t] : make_float2(0.0f, 0.0f);
  }
  for (int s = 0; s < rows.keys; s += kColumns) {
    __syncthreads();
    load(k, pitch_of(D), keys, s, kColumns, D);
    load(v, pitch_of(D), values, s, kColumns, D);
    __syncthreads();
    float score[kWarpRows], dp[kWarpRows];
    multiply(score, q, k, D);
    multiply(dp, dy, v, D);
    UNROLL for (int r = 0; r < kWarpRows; ++r) {
      const bool seen = s + lane() <= rows.before + rows.row + r;
      score[r] = seen ? expf(score[r] - statistics[r].x) * (dp[r] - statistics[r].y) : 0.0f;
    }
    share(weights, score);
    accumulate(dq, weights, k, D);
  }
  store(head_of(p.dq, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, dq, D, p.scale);
}

/// The step's queries, of the heads that share these keys one after the other: p and the gradient of the
/// scores.
template <class T>
DEVICE void key_step(float (&score)[kWarpRows], float (&dp)[kWarpRows], const Params<T>& p, int64_t head,
                     int t, int first_key) {
  const int query = t + lane(), before = int(p.n.S - p.n.T);
  const bool inside = query < p.n.T;
  const float2 statistics = inside ? p.statistics[head * p.n.T + query] : make_float2(0.0f, 0.0f);
  UNROLL for (int r = 0; r < kWarpRows; ++r) {
    const bool seen = inside && first_key + first_row_of_warp() + r <= before + query;
    score[r] = seen ? expf(score[r] - statistics.x) : 0.0f;
    dp[r] = score[r] * (dp[r] - statistics.y);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreadsPerBlock, kBlocksPerSm) causal_bwd_keys_kernel(Params<T> p) {
  DYN_SHARED(float, shared);
  const int D = int(p.n.D), pitch = pitch_of(D);
  float *k = shared, *v = k + kRows * D, *dk = v + kRows * D, *dv = dk + kRows * D, *q = dv + kRows * D;
  float *dy = q + kColumns * pitch, *weights = dy + kColumns * pitch, *dweights = weights + kRows * kColumns;
  const int64_t tiles = (p.n.S + kRows - 1) / kRows, b = blockIdx.x / tiles / p.n.G,
                g = blockIdx.x / tiles % p.n.G;
  const int first = int(blockIdx.x % tiles) * kRows, group = int(p.n.H / p.n.G);
  const int first_query = max(0, first - int(p.n.S - p.n.T)) / kColumns * kColumns;
  load(k, D, head_of(p.k, b, g, p.n.S, p.n.G, D), first, kRows, D);
  load(v, D, head_of(p.v, b, g, p.n.S, p.n.G, D), first, kRows, D);
  clear(dk, 2 * kRows * D);
  for (int64_t h = g * group; h < (g + 1) * group; ++h)
    for (int t = first_query; t < p.n.T; t += kColumns) {
      __syncthreads();
      load(q, pitch, head_of(p.q, b, h, p.n.T, p.n.H, D), t, kColumns, D, p.scale);
      load(dy, pitch, head_of(p.dy, b, h, p.n.T, p.n.H, D), t, kColumns, D);
      __syncthreads();
      float score[kWarpRows], dp[kWarpRows];
      multiply(score, k, q, D);
      multiply(dp, v, dy, D);
      key_step(score, dp, p, b * p.n.H + h, t, first);
      share(weights, score);
      share(dweights, dp);
      accumulate(dv, weights, dy, D);
      accumulate(dk, dweights, q, D);
    }
  __syncthreads();  // for no query at all
  if (p.dk) store(head_of(p.dk, b, g, p.n.S, p.n.G, D), first, dk, D, 1.0f);
  if (p.dv) store(head_of(p.dv, b, g, p.n.S, p.n.G, D), first, dv, D, 1.0f);
}

float score_scale(const CausalSizes& n) { return float(1.0 / sqrt(double(n.D))); }

}  // namespace

template <class T>
void causal_fwd(T* o, float* lse, const T* q, const T* k, const T* v, const CausalSizes& n) {
  const Params<T> p{o, nullptr, nullptr, nullptr, lse, nullptr, q, k, v, nullptr, n, score_scale(n)};
  launch(causal_fwd_kernel<T>, n.B * n.H * pieces(n.T, kRows),
         shared_floats(kForwardRows, kForwardColumns, n.D), p);
}

template <class T>
void causal_bwd(T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* o,
                const float* lse, const CausalSizes& n) {
  const Scratch<float2> statistics(n.B * n.H * n.T);
  row_statistics(statistics.data(), lse, dy, o, n.B, n.T, n.H, n.D, 1.0f);
  const Params<T> p{nullptr, dq, dk, dv, nullptr, statistics.data(), q, k, v, dy, n, score_scale(n)};
  if (dq)
    launch(causal_bwd_queries_kernel<T>, n.B * n.H * pieces(n.T, kRows),
           shared_floats(kBackwardRows, kBackwardColumns, n.D), p);
  if (dk || dv)
    launch(causal_bwd_keys_kernel<T>, n.B * n.G * pieces(n.S, kRows),
           shared_floats(kKeyRows, kKeyColumns, n.D), p);
}

#define RMOE_INSTANTIATE(T)                                                                               \
  template void causal_fwd<T>(T*, float*, const T*, const T*, const T*, const CausalSizes&);              \
  template void causal_bwd<T>(T*, T*, T*, const T*, const T*, const T*, const T*, const T*, const float*, \
                              const CausalSizes&);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(__nv_bfloat16)

}  // namespace rmoe::cuda::plain
