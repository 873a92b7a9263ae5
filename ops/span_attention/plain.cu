// o_t = sum_j m_tj p_tj v_(t+j),  p_t = softmax_j q_t . (k_(t+j) + e_j) / sqrt(D),  j < L, e_j = key_pe_dj
// ds_tj = p_tj (m_tj dy_t . v_(t+j) - delta_t): dq_t = sum_j ds_tj (k_(t+j) + e_j) / sqrt(D),
// dk_s = sum_t ds_t(s-t) q_t / sqrt(D), dv_s = sum_t m_t(s-t) p_t(s-t) dy_t,
// de_j = sum_bht ds_tj q_t / sqrt(D)
//
// Rows are queries and columns keys, or rows keys and columns queries, or, for key_pe, rows slots and columns
// queries. A step of kRows by kColumns meets kDiagonals slots (or keys): one for each diagonal of its square.
#include "engine/cuda/for_each.cuh"
#include "ops/attention_plain.cuh"
#include "ops/span_attention/span.cuh"

namespace rmoe::cuda::plain {
namespace {

constexpr int kDiagonals = kRows + kColumns - 1, kSlotPitch = kDiagonals + 2;  // odd
constexpr int64_t kSlices = 32;  // of the sum over queries in dkey_pe: a number that no device sets

/// e[d][i] = key_pe[d][first + i], zero outside [0, L).
template <class T>
DEVICE void load_slots(float* e, const Span<T>& p, int first) {
  for (int d = threadIdx.x / kLanes; d < p.n.D; d += kWarps)
    for (int i = lane(); i < kDiagonals; i += kLanes) {
      const int slot = first + i;
      const bool inside = slot >= 0 && slot < p.n.L;
      e[d * kSlotPitch + i] = inside ? to_float(p.key_pe[d * p.n.L + slot]) : 0.0f;
    }
}

/// The factor that dropout puts on slot `slot` of a row of the mask.
template <class T>
DEVICE float kept(const Span<T>& p, int64_t row, int slot) {
  if (!p.mask) return 1.0f;
  return p.mask[row * p.mask_words + slot / 32] >> slot % 32 & 1 ? p.keep : 0.0f;
}

/// Rows of queries [first, first + kRows) of head h.
struct Queries {
  DEVICE explicit Queries(const SpanSizes& n) {
    const int64_t tiles = (n.T + kRows - 1) / kRows;
    first = int(blockIdx.x % tiles) * kRows;
    head = blockIdx.x / tiles;
    b = head / n.H, h = head % n.H;
    row = first + first_row_of_warp();
    end = min(int(n.L + n.T), first + kRows - 1 + int(n.L));
  }
  /// The slot that row r of this warp has for the lane's position of the step from s on.
  DEVICE int slot(int s, int r) const { return s + lane() - row - r; }
  int first, row, end;  // of the block, of the warp; of the positions that they see
  int64_t head, b, h;
};

/// score_r = q_r . (k_lane + e_slot) for the rows of this warp.
DEVICE void multiply_with_slots(float (&score)[kWarpRows], const float* q, const float* k, const float* e,
                                int D) {
  const int row = first_row_of_warp(), pitch = pitch_of(D), column = lane();
  UNROLL for (int r = 0; r < kWarpRows; ++r) score[r] = 0.0f;
  for (int d = 0; d < D; ++d)
    UNROLL for (int r = 0; r < kWarpRows; ++r) score[r] +=
        q[(row + r) * D + d] * (k[column * pitch + d] + e[d * kSlotPitch + column - row - r + kRows - 1]);
}

template <class T>
__global__ void __launch_bounds__(kThreadsPerBlock, kBlocksPerSm) span_fwd_kernel(Span<T> p) {
  DYN_SHARED(float, shared);
  const int D = int(p.n.D), L = int(p.n.L), pitch = pitch_of(D);
  float *q = shared, *o = q + kRows * D, *k = o + kRows * D, *v = k + kColumns * pitch,
        *e = v + kColumns * pitch;
  float* weights = e + kSlotPitch * D;
  const Queries rows(p.n);
  const auto keys = head_of(p.k, rows.b, rows.h, p.n.L + p.n.T, p.n.H, D);
  const auto values = head_of(p.v, rows.b, rows.h, p.n.L + p.n.T, p.n.H, D);
  load(q, D, head_of(p.q, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, kRows, D, p.scale);
  clear(o, kRows * D);
  Softmax softmax;
  for (int s = rows.first; s < rows.end; s += kColumns) {
    __syncthreads();
    load(k, pitch, keys, s, kColumns, D);
    load(v, pitch, values, s, kColumns, D);
    load_slots(e, p, s - rows.first - kRows + 1);
    __syncthreads();
    float score[kWarpRows], keep[kWarpRows];
    multiply_with_slots(score, q, k, e, D);
    UNROLL for (int r = 0; r < kWarpRows; ++r) if (unsigned(rows.slot(s, r)) >= unsigned(L)) score[r] =
        -INFINITY;
    softmax.step(score, keep);
    UNROLL for (int r = 0; r < kWarpRows; ++r) if (score[r] > 0.0f && rows.row + r < p.n.T) score[r] *=
        kept(p, rows.head * p.n.T + rows.row + r, rows.slot(s, r));
    share(weights, score);
    accumulate(o, keep, weights, D, [=](int, int c, int d) { return v[c * pitch + d]; });
  }
  float inverse[kWarpRows];
  softmax.finish(inverse, p.lse + rows.head * p.n.T, rows.row, int(p.n.T));
  store(head_of(p.o, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, o, D, inverse);
}

/// What the backward makes of the score of query t in `slot` and of dp = dy . v: m p, and the score's
/// gradient.
struct Pair {
  float weight, dscore;
};
template <class T>
DEVICE Pair backward_of(const Span<T>& p, int64_t head, int t, int slot, float score, float dp) {
  if (unsigned(t) >= unsigned(p.n.T) || unsigned(slot) >= unsigned(p.n.L)) return {0.0f, 0.0f};
  const int64_t row = head * p.n.T + t;
  const float2 statistics = p.statistics[row];
  const float probability = expf(score - statistics.x), factor = kept(p, row, slot);
  return {factor * probability, probability * (factor * dp - statistics.y)};
}

template <class T>
__global__ void __launch_bounds__(kThreadsPerBlock, kBlocksPerSm) span_bwd_queries_kernel(Span<T> p) {
  DYN_SHARED(float, shared);
  const int D = int(p.n.D), pitch = pitch_of(D);
  float *q = shared, *dy = q + kRows * D, *dq = dy + kRows * D, *k = dq + kRows * D,
        *v = k + kColumns * pitch;
  float *e = v + kColumns * pitch, *weights = e + kSlotPitch * D;
  const Queries rows(p.n);
  const auto keys = head_of(p.k, rows.b, rows.h, p.n.L + p.n.T, p.n.H, D);
  const auto values = head_of(p.v, rows.b, rows.h, p.n.L + p.n.T, p.n.H, D);
  load(q, D, head_of(p.q, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, kRows, D, p.scale);
  load(dy, D, head_of(p.dy, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, kRows, D);
  clear(dq, kRows * D);
  const float all[kWarpRows] = {1.0f, 1.0f, 1.0f, 1.0f};
  for (int s = rows.first; s < rows.end; s += kColumns) {
    __syncthreads();
    load(k, pitch, keys, s, kColumns, D);
    load(v, pitch, values, s, kColumns, D);
    load_slots(e, p, s - rows.first - kRows + 1);
    __syncthreads();
    float score[kWarpRows], dp[kWarpRows];
    multiply_with_slots(score, q, k, e, D);
    multiply(dp, dy, v, D);
    UNROLL for (int r = 0; r < kWarpRows; ++r) score[r] =
        backward_of(p, rows.head, rows.row + r, rows.slot(s, r), score[r], dp[r]).dscore;
    share(weights, score);
    accumulate(dq, all, weights, D,
               [=](int r, int c, int d) { return k[c * pitch + d] + e[d * kSlotPitch + c - r + kRows - 1]; });
  }
  store(head_of(p.dq, rows.b, rows.h, p.n.T, p.n.H, D), rows.first, dq, D, p.scale);
}

/// score_r = q_lane . (k_r + e_slot) for the keys of this warp.
DEVICE void multiply_keys(float (&score)[kWarpRows], const float* k, const float* q, const float* e, int D) {
  const int row = first_row_of_warp(), pitch = pitch_of(D), column = lane();
  UNROLL for (int r = 0; r < kWarpRows; ++r) score[r] = 0.0f;
  for (int d = 0; d < D; ++d)
    UNROLL for (int r = 0; r < kWarpRows; ++r) score[r] +=
        q[column * pitch + d] * (k[(row + r) * D + d] + e[d * kSlotPitch + row + r - column + kColumns - 1]);
}

template <class T>
__global__ void __launch_bounds__(kThreadsPerBlock, kBlocksPerSm) span_bwd_keys_kernel(Span<T> p) {
  DYN_SHARED(float, shared);
  const int D = int(p.n.D), pitch = pitch_of(D), S = int(p.n.L + p.n.T);
  float *k = shared, *v = k + kRows * D, *dk = v + kRows * D, *dv = dk + kRows * D, *q = dv + kRows * D;
  float *dy = q + kColumns * pitch, *e = dy + kColumns * pitch;
  float *weights = e + kSlotPitch * D, *dweights = weights + kRows * kColumns;
  const int64_t tiles = (S + kRows - 1) / kRows, head = blockIdx.x / tiles, b = head / p.n.H,
                h = head % p.n.H;
  const int first = int(blockIdx.x % tiles) * kRows, row = first + first_row_of_warp();
  const int begin = max(0, first - int(p.n.L) + 1), end = min(int(p.n.T), first + kRows);
  load(k, D, head_of(p.k, b, h, S, p.n.H, D), first, kRows, D);
  load(v, D, head_of(p.v, b, h, S, p.n.H, D), first, kRows, D);
  clear(dk, 2 * kRows * D);
  for (int t = begin; t < end; t += kColumns) {
    __syncthreads();
    load(q, pitch, head_of(p.q, b, h, p.n.T, p.n.H, D), t, kColumns, D, p.scale);
    load(dy, pitch, head_of(p.dy, b, h, p.n.T, p.n.H, D), t, kColumns, D);
    load_slots(e, p, first - t - kColumns + 1);
    __syncthreads();
    float score[kWarpRows], dp[kWarpRows];
    multiply_keys(score, k, q, e, D);
    multiply(dp, v, dy, D);
    UNROLL for (int r = 0; r < kWarpRows; ++r) {
      const Pair pair = backward_of(p, head, t + lane(), row + r - t - lane(), score[r], dp[r]);
      score[r] = pair.weight, dp[r] = pair.dscore;
    }
    share(weights, score);
    share(dweights, dp);
    accumulate(dv, weights, dy, D);
    accumulate(dk, dweights, q, D);
  }
  __syncthreads();  // for no query at all
  if (p.dk) store(head_of(p.dk, b, h, S, p.n.H, D), first, dk, D, 1.0f);
  if (p.dv) store(head_of(p.dv, b, h, S, p.n.H, D), first, dv, D, 1.0f);
}

/// score_r = q_lane . (k_(lane+r) + e_r) and dp_r = dy_lane . v_(lane+r) for the slots of this warp.
DEVICE void multiply_slots(float (&score)[kWarpRows], float (&dp)[kWarpRows], const float* e, const float* q,
                           const float* dy, const float* k, const float* v, int D) {
  const int row = first_row_of_warp(), pitch = pitch_of(D), column = lane();
  UNROLL for (int r = 0; r < kWarpRows; ++r) score[r] = dp[r] = 0.0f;
  for (int d = 0; d < D; ++d) UNROLL for (int r = 0; r < kWarpRows; ++r) {
      const int key = (column + row + r) * pitch + d;
      score[r] += q[column * pitch + d] * (k[key] + e[(row + r) * D + d]);
      dp[r] += dy[column * pitch + d] * v[key];
    }
}

/// parts [slices, L, D], one block for kRows slots of one slice.
template <class T>
__global__ void __launch_bounds__(kThreadsPerBlock, kBlocksPerSm)
    span_bwd_slots_kernel(Span<T> p, float* parts, int64_t slices) {
  DYN_SHARED(float, shared);
  const int D = int(p.n.D), pitch = pitch_of(D), S = int(p.n.L + p.n.T);
  float *e = shared, *sums = e + kRows * D, *q = sums + kRows * D, *dy = q + kColumns * pitch;
  float *k = dy + kColumns * pitch, *v = k + kDiagonals * pitch, *weights = v + kDiagonals * pitch;
  const int64_t slice = blockIdx.x % slices, tiles = (p.n.T + kColumns - 1) / kColumns,
                items = p.n.B * p.n.H * tiles;
  const int first = int(blockIdx.x / slices) * kRows;
  for (int i = threadIdx.x; i < kRows * D; i += kThreadsPerBlock)
    e[i] = first + i / D < p.n.L ? to_float(p.key_pe[i % D * p.n.L + first + i / D]) : 0.0f;
  clear(sums, kRows * D);
  for (int64_t item = slice * items / slices; item < (slice + 1) * items / slices; ++item) {
    const int64_t head = item / tiles, b = head / p.n.H, h = head % p.n.H;
    const int t = int(item % tiles) * kColumns;
    __syncthreads();
    load(q, pitch, head_of(p.q, b, h, p.n.T, p.n.H, D), t, kColumns, D, p.scale);
    load(dy, pitch, head_of(p.dy, b, h, p.n.T, p.n.H, D), t, kColumns, D);
    load(k, pitch, head_of(p.k, b, h, S, p.n.H, D), t + first, kDiagonals, D);
    load(v, pitch, head_of(p.v, b, h, S, p.n.H, D), t + first, kDiagonals, D);
    __syncthreads();
    float score[kWarpRows], dp[kWarpRows];
    multiply_slots(score, dp, e, q, dy, k, v, D);
    UNROLL for (int r = 0; r < kWarpRows; ++r) score[r] =
        backward_of(p, head, t + lane(), first + first_row_of_warp() + r, score[r], dp[r]).dscore;
    share(weights, score);
    accumulate(sums, weights, q, D);
  }
  store(Head<float>{parts + slice * p.n.L * D, D, int(p.n.L)}, first, sums, D, 1.0f);
}

template <class T>
void slot_gradient(const Span<T>& p, float beta) {
  const int64_t D = p.n.D, L = p.n.L, pitch = pitch_of(int(D));
  const int64_t items = p.n.B * p.n.H * pieces(p.n.T, kColumns), slices = items < kSlices ? items : kSlices;
  const Scratch<float> parts(slices * L * D);
  if (slices > 0) {
    const int64_t floats = 2 * kRows * D + 2 * (kColumns + kDiagonals) * pitch + kRows * kColumns;
    launch(span_bwd_slots_kernel<T>, slices * pieces(L, kRows), floats, p, parts.data(), slices);
  }
  const float* from = parts.data();
  float* to = p.dkey_pe;
  for_each(L * D, [=] ON_DEVICE(int64_t i) {
    float sum = 0.0f;
    for (int64_t slice = 0; slice < slices; ++slice) sum += from[(slice * L + i % L) * D + i / L];
    put(to[i], sum, beta);
  });
}

int64_t shared_floats(int64_t rows, int64_t weights, int64_t D) {
  return rows * kRows * D + 2 * kColumns * pitch_of(int(D)) + kSlotPitch * D + weights * kRows * kColumns;
}

}  // namespace

template <class T>
void span_fwd(const Span<T>& p) {
  launch(span_fwd_kernel<T>, p.n.B * p.n.H * pieces(p.n.T, kRows), shared_floats(2, 1, p.n.D), p);
}

template <class T>
void span_bwd(const Span<T>& p, float beta) {
  const int64_t heads = p.n.B * p.n.H;
  if (p.dq) launch(span_bwd_queries_kernel<T>, heads * pieces(p.n.T, kRows), shared_floats(3, 1, p.n.D), p);
  if (p.dk || p.dv)
    launch(span_bwd_keys_kernel<T>, heads * pieces(p.n.L + p.n.T, kRows), shared_floats(4, 2, p.n.D), p);
  if (p.dkey_pe) slot_gradient(p, beta);
}

#define RMOE_INSTANTIATE(T)                  \
  template void span_fwd<T>(const Span<T>&); \
  template void span_bwd<T>(const Span<T>&, float);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(__nv_bfloat16)

}  // namespace rmoe::cuda::plain
