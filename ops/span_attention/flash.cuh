// What the tensor-core kernels of span attention share: the relative scores q_t . e_(s-t), e_j = key_pe_dj,
// the band 0 <= s - t < L, and the dropout mask. Positions s of keys and values come in blocks of kBlock.
//
// Relative scores. 16 queries (rows r, the first at t) meet 64 positions (columns c, the first at s) in slots
// s - t + c - r, of which there are 79. The products of the 16 queries with 80 slots are a strip,
// R_rn = q_r . e_(s-t-16+n); read askew, score_rc = R_r(c+16-r). The strip costs 1.25 times what q . k does,
// and the skew one trip through shared memory in which only one warp takes part.
#pragma once

#include "ops/attention_softmax.cuh"
#include "ops/span_attention/span.cuh"

namespace rmoe::cuda::flash {

using namespace tiles;

constexpr int kBlock = 64;                                                      // positions of a step
constexpr int kStripColumns = 80, kStripPitch = 84, kStrip = 16 * kStripPitch;  // fp32; of one warp
constexpr int kStripsBytes = kWarps * kStrip * int(sizeof(float));
constexpr int kMargin = 128;   // slots in front of the first, and at least as many behind the last: zeros
constexpr int kMaskWords = 3;  // hold any 64 successive bits

struct Params : Span<Element> {
  const Element* slots;  // [width of the tiles, slot_pitch]: key_pe, kMargin zeros before it, enough behind
  int slot_pitch, unit;

  template <class T>
  DEVICE Head<T> of_queries(T* x, int b, int h) const {
    return head_of(x, b, h, n.T, n.H, n.D, unit);
  }
  template <class T>
  DEVICE Head<T> of_keys(T* x, int b, int h) const {
    return head_of(x, b, h, n.L + n.T, n.H, n.D, unit);
  }
};

/// The blocks of positions that `rows` queries see, from the block on that begins where the first query's
/// slots do.
HOST_DEVICE int band_steps(int rows, int L) { return (rows + L - 2) / kBlock + 1; }

// ---- slots ------------------------------------------------------------------------------------------------

/// The slots in chunks [kWidth, 64], of which kChunks successive ones are in shared memory: chunk i, i >=
/// -kChunks, holds slots [64 i, 64 i + 64). Slots outside the span are zero; the band hides them.
template <int kWidth, int kChunks>
struct SlotRing {
  using Chunk = Tile<kWidth, kBlock>;
  static constexpr int kBytes = kChunks * Chunk::kBytes;
  Element* data;

  DEVICE Chunk chunk(int i) const { return Chunk{data + (i + kChunks) % kChunks * Chunk::kElements}; }
  DEVICE void load(const Params& p, int i) const {
    const Head<const Element> rows{p.slots + kMargin + i * kBlock, p.slot_pitch, kWidth, kBlock, 8};
    load_rows<true>(chunk(i), rows, 0);
  }
};

/// Where a warp's strip has score [r, c].
DEVICE int skewed(int r, int c) { return r * kStripPitch + c + 16 - r % 16; }

/// The strip of 16 queries against step `step` of their block: column n is slot 64 step - 16 (above + 1) + n,
/// where `above` counts the tiles of 16 rows between the first query of the block and these.
template <class Ring, int K16>
DEVICE void write_strip(float* strip, const FragmentA (&q)[K16], Ring ring, int step, int above) {
  __syncwarp();  // the strip's last reader is done
  UNROLL for (int n = 0; n < kStripColumns / 16; ++n) {
    const int slot = step * kBlock + 16 * (n - above - 1);
    float r[2][4] = {};
    UNROLL for (int k = 0; k < K16; ++k) {
      FragmentPairB e;
      load_b(e, ring.chunk(slot >> 6), 16 * k, slot & 63);
      multiply_pair(r[0], r[1], q[k], e);
    }
    UNROLL for (int i = 0; i < 2; ++i) UNROLL for (int half = 0; half < 2; ++half) {
      const int row = fragment_row() + 8 * half, column = 16 * n + 8 * i + fragment_column();
      *reinterpret_cast<float2*>(strip + row * kStripPitch + column) =
          make_float2(r[i][2 * half], r[i][2 * half + 1]);
    }
  }
  __syncwarp();
}

/// s[r][c] = R[r][first_column + c + 16 - r]: scores begin with their relative part.
template <int N>
DEVICE void read_skewed(float (&s)[N][4], const float* strip, int first_column = 0) {
  UNROLL for (int n = 0; n < N; ++n) UNROLL for (int e = 0; e < 4; ++e) s[n][e] =
      strip[skewed(fragment_row() + e / 2 * 8, first_column + 8 * n + fragment_column() + e % 2)];
}

/// s[r][c] = -inf where position first_position + c is outside the span of query first_query + r.
template <int N>
DEVICE void mask_band(float (&s)[N][4], int first_query, int first_position, int L) {
  if (first_position >= first_query + 15 && first_position + 8 * N - 1 - first_query < L)
    return;  // most tiles
  const int slot =
      first_position + fragment_column() - first_query - fragment_row();  // of the lane's first element
  UNROLL for (int n = 0; n < N; ++n)
      UNROLL for (int e = 0; e < 4; ++e) if (unsigned(slot + 8 * n + e % 2 - e / 2 * 8) >= unsigned(L))
          s[n][e] = -INFINITY;
}

// ---- dropout ----------------------------------------------------------------------------------------------

/// The words of the mask in which the slots begin that `kRows` queries of a head have for 64 positions,
/// copied by the threads of a block or of a warp.
template <int kRows, int kThreads>
DEVICE void load_mask(uint32_t* to, const Params& p, int head, int first_query, int first_position) {
  for (int i = threadIdx.x % kThreads; i < kRows * kMaskWords; i += kThreads) {
    const int t = first_query + i / kMaskWords, word = ((first_position - t) >> 5) + i % kMaskWords;
    const bool inside = t < p.n.T && word >= 0 && word < p.mask_words;
    ptx::cp_async<4>(to + i, p.mask + (inside ? (int64_t(head) * p.n.T + t) * p.mask_words + word : 0),
                     inside);
  }
}

/// The 32 bits of slots [slot + 32 part, ...) out of the words that load_mask left from slot `slot` on.
DEVICE uint32_t mask_bits(const uint32_t* words, int slot, int part) {
  const uint64_t two = uint64_t(words[part + 1]) << 32 | words[part];
  return uint32_t(two >> (slot & 31));
}

/// Which of 8 N successive positions a row keeps: bit i of [part] is that of position 32 part + i.
template <int N>
struct Kept {
  uint32_t part[N / 4];

  /// Of the block's query `row`, from position `column` of the step on; `slot` is its slot at position 0, and
  /// `words` are what load_mask left. Everything is kept without a mask.
  DEVICE Kept(const Params& p, const uint32_t* words, int row, int slot, int column) {
    UNROLL for (int i = 0; i < N / 4; ++i) part[i] =
        p.mask ? mask_bits(words + row * kMaskWords, slot, column / 32 + i) : ~0u;
  }
  /// Of this lane's element e of the tile n of 8 positions, both constants.
  DEVICE bool operator()(int n, int e) const {
    return part[n / 4] >> (8 * (n % 4) + e % 2 + fragment_column()) & 1;
  }
};

// ---- backward ---------------------------------------------------------------------------------------------

/// dp[r][c] = dy_r . v_c becomes the gradient of the scores s[r][c] of 16 queries and 8 N positions; `column`
/// of the step is the first, and `mask` is the queries' part of it.
template <int N>
DEVICE void score_gradients(float (&s)[N][4], float (&dp)[N][4], const RowStatistics<1>& rows,
                            const uint32_t* mask, int first_query, int first_position, int column,
                            const Params& p) {
  const float scale2 = p.scale * kLog2e;
  mask_band(s, first_query, first_position + column, int(p.n.L));
  UNROLL for (int half = 0; half < 2; ++half) {
    const int r = fragment_row() + 8 * half;
    const Kept<N> kept(p, mask, r, first_position - first_query - r, column);
    const float lse = rows.of[0][half].x, delta = rows.of[0][half].y;
    UNROLL for (int n = 0; n < N; ++n) UNROLL for (int e = 2 * half; e < 2 * half + 2; ++e) {
      const float through = kept(n, e) ? fmaf(dp[n][e], p.keep, -delta) : -delta;
      dp[n][e] = ptx::exp2_fast(fmaf(s[n][e], scale2, -lse)) * through;
    }
  }
}

/// The gradient of a strip: dR[r][c + 16 - r] = ds[r][c] in bf16. The 16 slots of each row that the step does
/// not meet are zero from the start.
using GradientStrip = Tile<16, kStripColumns>;

DEVICE void clear_strips(Element* strips) {
  uint32_t* pairs = reinterpret_cast<uint32_t*>(strips);
  for (int i = threadIdx.x; i < kWarps * GradientStrip::kElements / 2; i += kThreadsPerBlock) pairs[i] = 0;
}

template <int N>
DEVICE void write_gradient_strip(GradientStrip strip, const float (&ds)[N][4], int first_column = 0) {
  UNROLL for (int n = 0; n < N; ++n) UNROLL for (int e = 0; e < 4; ++e) {
    const int r = fragment_row() + e / 2 * 8;
    set(strip.at(r, first_column + 8 * n + fragment_column() + e % 2 + 16 - r), __float2bfloat16(ds[n][e]));
  }
  __syncwarp();
}

// ---- launchers: each for the width of tiles that the heads fit into ---------------------------------------

template <int kWidth>
void span_fwd(const Params& p);
template <int kWidth>
void span_bwd_queries(const Params& p);
template <int kWidth>
void span_bwd_keys(const Params& p);
/// dkey_pe = beta dkey_pe + gradient
template <int kWidth>
void span_bwd_slots(const Params& p, float beta);

}  // namespace rmoe::cuda::flash
