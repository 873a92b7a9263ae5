#include "engine/random_bits.hpp"
#include "ops/attention_rows.hpp"
#include "ops/span_attention/kernels.hpp"

namespace rmoe::cpu {
namespace {

constexpr auto kNo = Trans::no, kYes = Trans::yes;

template <class T>
struct Inputs {
  const T *q, *k, *v, *key_pe;
  SpanSizes n;
  double dropout;
};

constexpr int64_t kRows = kWindow;  // queries in a block: it begins with a panel of the packed keys
constexpr int64_t kSlots = 1024;    // in a pass of the backward: p and ds of a block stay in the L2 cache

/// The work, cut by the sizes alone: a unit is one of `parts` pieces of one head's queries.
struct Cut {
  explicit Cut(const SpanSizes& n)
      : blocks((n.T + kRows - 1) / kRows),
        parts(parts_per_head(n.B * n.H, blocks)),
        units(n.B * n.H * parts) {}
  int64_t blocks, parts, units;
};

/// Queries [begin, end) of one head; they see keys [begin, begin + keys) of memory and block together.
struct Unit {
  Unit(const Cut& cut, const SpanSizes& n, int64_t i)
      : b(i / cut.parts / n.H),
        h(i / cut.parts % n.H),
        part(i % cut.parts),
        begin(part * cut.blocks / cut.parts * kRows),
        end(std::min(n.T, (part + 1) * cut.blocks / cut.parts * kRows)),
        keys(std::max<int64_t>(end - begin + n.L - 1, 0)) {}
  int64_t b, h, part, begin, end, keys;

  int64_t first_query(const SpanSizes& n) const { return ((b * n.T + begin) * n.H + h) * n.D; }
  int64_t first_key(const SpanSizes& n) const { return ((b * (n.L + n.T) + begin) * n.H + h) * n.D; }
  int64_t row(const SpanSizes& n) const { return (b * n.H + h) * n.T + begin; }
};

/// Rows [row, row + count) of a block of queries.
struct Group {
  int64_t row, count;
};

/// All rows, where keys at one edge of the band would be at its other edge too.
int64_t group_rows(int64_t rows, int64_t slots) { return slots > kRows ? std::min(kGroup, rows) : rows; }

template <class F>
void for_groups(int64_t rows, int64_t slots, F&& f) {
  const int64_t group = group_rows(rows, slots);
  for (int64_t row = 0; row < rows; row += group) f(Group{row, std::min(group, rows - row)});
}

/// Scores of a block of queries in one buffer with two views. By key: query r, key s (from the first that
/// query 0 sees) at r * by_key + s. By slot: its slot j is key r + j, hence at r * by_slot + j with by_slot =
/// by_key +
/// 1. So a product over keys and one over slots meet in the same scores without a copy.
template <class T>
struct Band {
  explicit Band(int64_t slots)
      : by_slot((kRows + slots + 15) / 16 * 16), by_key(by_slot - 1), scores(kRows * by_slot) {}
  T* row(int64_t r) const { return scores.data() + r * by_slot; }
  /// Zeroes what lies outside the band, where products over all keys of a group read too.
  void clear_outside(const Group& group, int64_t slots) const {
    for (int64_t r = 0; r < group.count; ++r) {
      std::fill_n(row(group.row + r) - r, r, T(0));
      std::fill_n(row(group.row + r) + slots, group.count - 1 - r, T(0));
    }
  }
  int64_t by_slot, by_key;
  Scratch<T> scores;
};

/// f(begin, end, from, to): keys [begin, end) of a block's are seen by no other rows than [from, to). At both
/// edges of the band they end where those of groups do.
template <class F>
void for_keys(int64_t rows, int64_t slots, F&& f) {
  const int64_t keys = rows + slots - 1, group = group_rows(rows, slots);
  if (group == rows) return f(int64_t{0}, keys, int64_t{0}, rows);
  for (int64_t s = 0; s < rows - 1; s += group) {
    const int64_t end = std::min(s + group, rows - 1);
    f(s, end, int64_t{0}, end);
  }
  f(rows - 1, slots - 1, int64_t{0}, rows);
  for (int64_t s = slots - 1; s < keys; s += group) f(s, std::min(s + group, keys), s - slots + 1, rows);
}

/// A row of the dropout mask as factors: 0 or 1 / (1 - dropout).
template <class T>
void expand_mask(T* keep, const uint32_t* words, int64_t slots, T scale) {
  for (int64_t j = 0; j < slots; j += 32) {
    const uint32_t word = words[j / 32];
#pragma omp simd
    for (int i = 0; i < 32; ++i) keep[j + i] = word >> i & 1 ? scale : T(0);
  }
}

/// The position embeddings, packed for all heads: [D, slots] for scores, [slots, D] for gradients.
template <class T>
struct PackedSlots {
  PackedSlots(const T* key_pe, const SpanSizes& n, bool backward)
      : of_queries(n.D, whole(n.L, kWindow)), of_scores(backward ? n.L : 0, whole(n.D, kAligned)) {
    of_queries.pack(kNo, key_pe, n.L, n.L);
    if (backward) of_scores.pack(kYes, key_pe, n.L, n.D);
  }
  PackedMatrix<T> of_queries, of_scores;
};

/// What forward and backward of one unit share.
template <class T>
class Head {
 public:
  Head(const Inputs<T>& inputs, const PackedSlots<T>& packed_slots, const Unit& u, bool backward)
      : in(inputs),
        slots(packed_slots),
        unit(u),
        keys(u.keys, in.n.D, true, backward),
        values(u.keys, in.n.D, backward, !backward),
        query(kRows * in.n.D) {
    const int64_t C = in.n.H * in.n.D;
    keys.pack(in.k + u.first_key(in.n), C, u.keys, in.n.D);
    values.pack(in.v + u.first_key(in.n), C, u.keys, in.n.D);
  }

  void load_queries(int64_t t, int64_t rows) const {
    const int64_t D = in.n.D, C = in.n.H * D;
    copy_rows(query.data(), in.q + unit.first_query(in.n) + t * C, C, rows, D, T(1) / std::sqrt(T(D)));
  }

  /// Products of a group's rows of x, each `stride` apart, with its keys; the block's first query is
  /// unit.begin + t, the first of its slots `slot`. A column more than keys, for whole vectors, stays behind
  /// the band.
  void by_keys(const Band<T>& band, const PackedKeys<T>& with, const T* x, int64_t stride, int64_t t,
               const Group& group, int64_t slot, int64_t count) const {
    const int64_t column = t + slot + group.row, keys = group.count + count - 1;
    const int64_t columns = std::min(whole(keys, kAligned), whole(unit.keys, kWindow) - column);
    gemm_serial<T>(kNo, group.count, x + group.row * stride, stride, with.of_queries,
                   {0, in.n.D, column, columns}, 0, band.row(group.row), band.by_key);
  }

  /// Scores of the loaded queries, unit.begin + t onwards, for slots [slot, slot + count).
  void scores(const Band<T>& band, int64_t t, const Group& group, int64_t slot, int64_t count) const {
    const int64_t D = in.n.D;
    by_keys(band, keys, query.data(), D, t, group, slot, count);
    gemm_serial<T>(kNo, group.count, query.data() + group.row * D, D, slots.of_queries, {0, D, slot, count},
                   1, band.row(group.row), band.by_slot);
  }

  const Inputs<T>& in;
  const PackedSlots<T>& slots;
  const Unit& unit;
  PackedKeys<T> keys, values;
  Scratch<T> query;  // [rows, D], scaled by 1 / sqrt(D)
};

/// The backward of one unit: collects the gradients of its keys and values, [keys, Dp], and adds to the
/// task's dkey_pe, [L, Dp]. Dp is D in whole vectors.
template <class T>
class Backward {
 public:
  Backward(const Inputs<T>& inputs, const PackedSlots<T>& slots, const Unit& u, const uint32_t* mask_words)
      : in(inputs),
        unit(u),
        head(in, slots, u, true),
        mask(mask_words),
        Dp(whole(in.n.D, kAligned)),
        p(std::min(in.n.L, kSlots)),
        ds(std::min(in.n.L, kSlots)),
        keep(mask ? whole(std::min(in.n.L, kSlots), 32) : 0),
        delta(kRows),
        dquery(kRows * Dp),
        dkeys(u.keys * Dp),
        dvalues(u.keys * Dp) {
    std::fill_n(dkeys.data(), u.keys * Dp, T(0));
    std::fill_n(dvalues.data(), u.keys * Dp, T(0));
  }

  /// Queries unit.begin + t onwards. dq, dy and o point at the unit's first query, lse at its first row.
  /// Null: not wanted.
  void block(T* dq, T* dkey_pe, bool want_keys, bool want_values, const T* dy, const T* o, const T* lse,
             int64_t t, int64_t rows) {
    const int64_t D = in.n.D, L = in.n.L, C = in.n.H * D;
    const T* dyt = dy + t * C;
    head.load_queries(t, rows);
    row_products(delta.data(), dyt, o + t * C, C, rows, D);
    const PackedMatrix<T> queries(want_keys || dkey_pe ? rows : 0, Dp), outputs(want_values ? rows : 0, Dp);
    queries.pack(kNo, head.query.data(), D, D);
    outputs.pack(kNo, dyt, C, D);
    for (int64_t slot = 0; slot < L; slot += kSlots) {
      const int64_t slots = std::min(kSlots, L - slot);
      for_groups(rows, slots, [&](const Group& group) {
        recompute(dyt, lse + t, t, group, slot, slots);
        if (dq) add_to_queries(t, group, slot, slots);
      });
      if (dkey_pe)
        gemm_serial<T>(kYes, slots, ds.scores.data(), ds.by_slot, queries, {0, rows, 0, Dp}, 1,
                       dkey_pe + slot * Dp, Dp);
      for_keys(rows, slots, [&](int64_t begin, int64_t end, int64_t from, int64_t to) {
        const int64_t at = from * ds.by_key + begin, key = (t + slot + begin) * Dp;
        const Window some{from, to - from, 0, Dp};
        if (want_keys)
          gemm_serial<T>(kYes, end - begin, ds.scores.data() + at, ds.by_key, queries, some, 1,
                         dkeys.data() + key, Dp);
        if (want_values)
          gemm_serial<T>(kYes, end - begin, p.scores.data() + at, p.by_key, outputs, some, 1,
                         dvalues.data() + key, Dp);
      });
    }
    if (!dq) return;
    const T scale = T(1) / std::sqrt(T(D));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = 0; d < D; ++d) dq[(t + r) * C + d] = scale * dquery[r * Dp + d];
  }

  /// The gradients of the keys seen, into those of all keys of the batch.
  void store_keys(T* dk) const { store(dk, dkeys); }
  void store_values(T* dv) const { store(dv, dvalues); }

 private:
  /// p (dropout applied) and the gradient of the scores, zero outside the band.
  void recompute(const T* dy, const T* lse, int64_t t, const Group& group, int64_t slot, int64_t slots) {
    head.scores(p, t, group, slot, slots);
    head.by_keys(ds, head.values, dy, in.n.H * in.n.D, t, group, slot, slots);
    const T scale = T(1 / (1 - in.dropout));
    for (int64_t r = group.row; r < group.row + group.count; ++r) {
      if (mask)
        expand_mask(keep.data(), mask + (unit.row(in.n) + t + r) * in.n.mask_words() + slot / 32, slots,
                    scale);
      softmax_row_backward<T>(p.row(r), ds.row(r), keep.data(), slots, lse[r], delta[r]);
    }
    p.clear_outside(group, slots);
    ds.clear_outside(group, slots);
  }

  void add_to_queries(int64_t t, const Group& group, int64_t slot, int64_t slots) const {
    const int64_t key = t + slot + group.row;
    const T* scores = ds.row(group.row);
    T* to = dquery.data() + group.row * Dp;
    gemm_serial<T>(kNo, group.count, scores, ds.by_key, head.keys.of_scores,
                   {key, group.count + slots - 1, 0, Dp}, T(slot > 0), to, Dp);
    gemm_serial<T>(kNo, group.count, scores, ds.by_slot, head.slots.of_scores, {slot, slots, 0, Dp}, 1, to,
                   Dp);
  }

  /// Other parts of the head see other keys: the rest of this part's buffer is zero.
  void store(T* all, const Scratch<T>& seen) const {
    const int64_t C = in.n.H * in.n.D, S = in.n.L + in.n.T;
    T* to = all + (unit.b * S * in.n.H + unit.h) * in.n.D;
    for (int64_t s = 0; s < S; ++s, to += C)
      if (s >= unit.begin && s < unit.begin + unit.keys)
        std::copy_n(seen.data() + (s - unit.begin) * Dp, in.n.D, to);
      else
        std::fill_n(to, in.n.D, T(0));
  }

  const Inputs<T>& in;
  const Unit& unit;
  Head<T> head;
  const uint32_t* mask;
  int64_t Dp;
  Band<T> p, ds;
  Scratch<T> keep;            // [slots], null without dropout
  Scratch<T> delta, dquery;   // [rows], [rows, Dp]
  Scratch<T> dkeys, dvalues;  // [keys, Dp]
};

}  // namespace

template <class T>
void span_attention_fwd(T* o, acc_t<T>* lse, int32_t* mask, const T* q, const T* k, const T* v,
                        const T* key_pe, const SpanSizes& n, double dropout, uint64_t seed, uint64_t stream,
                        int64_t offset) {
  const Inputs<T> in{q, k, v, key_pe, n, dropout};
  const Cut cut(n);
  const PackedSlots<T> slots(key_pe, n, false);
  const int64_t C = n.H * n.D, Dp = whole(n.D, kAligned);
  parallel_for(cut.units, [&](int64_t i) {
    const Unit unit(cut, n, i);
    const Head<T> head(in, slots, unit, false);
    const Band<T> p(n.L);
    const Scratch<T> out(kRows * Dp), inverse_sum(kRows), keep(dropout > 0 ? n.mask_words() * 32 : 0);
    for (int64_t t = 0; t < unit.end - unit.begin; t += kRows) {
      const int64_t rows = std::min(kRows, unit.end - unit.begin - t), row = unit.row(n) + t;
      head.load_queries(t, rows);
      for_groups(rows, n.L, [&](const Group& group) {
        head.scores(p, t, group, 0, n.L);
        for (int64_t r = group.row; r < group.row + group.count; ++r) {
          const SoftmaxRow<T> softmax = exp_row(p.row(r), n.L);
          inverse_sum[r] = softmax.inverse_sum;
          lse[row + r] = softmax.lse;
          if (dropout > 0) {
            auto* words = reinterpret_cast<uint32_t*>(mask) + (row + r) * n.mask_words();
            uniform_at_least(words, n.L, dropout, seed, stream, offset + (row + r) * n.L);
            expand_mask(keep.data(), words, n.L, T(1 / (1 - dropout)));
            for (int64_t j = 0; j < n.L; ++j) p.row(r)[j] *= keep[j];
          }
        }
        p.clear_outside(group, n.L);
        gemm_serial<T>(kNo, group.count, p.row(group.row), p.by_key, head.values.of_scores,
                       {t + group.row, group.count + n.L - 1, 0, Dp}, 0, out.data() + group.row * Dp, Dp);
      });
      scale_rows(o + unit.first_query(n) + t * C, C, out.data(), Dp, inverse_sum.data(), rows, n.D);
    }
  });
}

template <class T>
void span_attention_bwd(T* dq, T* dk, T* dv, acc_t<T>* dkey_pe, const T* dy, const T* q, const T* k,
                        const T* v, const T* key_pe, const T* o, const acc_t<T>* lse, const int32_t* mask,
                        const SpanSizes& n, double dropout, double beta) {
  constexpr int64_t kMostTasks = 64;  // each has a dkey_pe of its own
  const Inputs<T> in{q, k, v, key_pe, n, dropout};
  const Cut cut(n);
  const PackedSlots<T> slots(key_pe, n, true);
  const int64_t tasks = std::min(cut.units, kMostTasks), keys = n.B * (n.L + n.T) * n.H * n.D;
  const int64_t pe_size = whole(n.D, kAligned) * n.L;
  const PartSums<T> key_sums(dk, cut.parts, keys), value_sums(dv, cut.parts, keys);
  const Scratch<T> pe_sums(dkey_pe ? (tasks + 1) * pe_size : 0);
  parallel_for(tasks, [&](int64_t task) {
    T* pe_sum = dkey_pe ? pe_sums.data() + task * pe_size : nullptr;
    if (pe_sum) std::fill_n(pe_sum, pe_size, T(0));
    for (int64_t i = task * cut.units / tasks; i < (task + 1) * cut.units / tasks; ++i) {
      const Unit unit(cut, n, i);
      const int64_t at = unit.first_query(n);
      Backward<T> backward(in, slots, unit, reinterpret_cast<const uint32_t*>(mask));
      for (int64_t t = 0; t < unit.end - unit.begin; t += kRows)
        backward.block(dq ? dq + at : nullptr, pe_sum, dk, dv, dy + at, o + at, lse + unit.row(n), t,
                       std::min(kRows, unit.end - unit.begin - t));
      if (dk) backward.store_keys(key_sums.part(unit.part));
      if (dv) backward.store_values(value_sums.part(unit.part));
    }
  });
  key_sums.finish();
  value_sums.finish();
  if (!dkey_pe) return;
  T* sum = pe_sums.data() + tasks * pe_size;
  sum_partials(sum, T(0), pe_sums.data(), tasks, pe_size);
  for (int64_t d = 0; d < n.D; ++d)
    for (int64_t j = 0; j < n.L; ++j)
      dkey_pe[d * n.L + j] =
          (beta == 0 ? T(0) : T(beta) * dkey_pe[d * n.L + j]) + sum[j * (pe_size / n.L) + d];
}

#define RMOE_INSTANTIATE(T)                                                                                  \
  template void span_attention_fwd<T>(T*, acc_t<T>*, int32_t*, const T*, const T*, const T*, const T*,       \
                                      const SpanSizes&, double, uint64_t, uint64_t, int64_t);                \
  template void span_attention_bwd<T>(T*, T*, T*, acc_t<T>*, const T*, const T*, const T*, const T*,         \
                                      const T*, const T*, const acc_t<T>*, const int32_t*, const SpanSizes&, \
                                      double, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
