#include "engine/gemm.hpp"
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
  RandomStream random;
};

/// The work, cut by the sizes alone: a unit is one of `parts` pieces of one head's queries.
struct Cut {
  explicit Cut(const SpanSizes& n)
      : rows(queries_per_block(n.L)),
        blocks((n.T + rows - 1) / rows),
        parts(parts_per_head(n.B * n.H, blocks)),
        units(n.B * n.H * parts) {}
  int64_t rows, blocks, parts, units;
};

/// Queries [begin, end) of one head; they see keys [begin, begin + keys) of memory and block together.
struct Unit {
  Unit(const Cut& cut, const SpanSizes& n, int64_t i)
      : b(i / cut.parts / n.H),
        h(i / cut.parts % n.H),
        part(i % cut.parts),
        begin(part * cut.blocks / cut.parts * cut.rows),
        end(std::min(n.T, (part + 1) * cut.blocks / cut.parts * cut.rows)),
        keys(std::max<int64_t>(end - begin + n.L - 1, 0)) {}
  int64_t b, h, part, begin, end, keys;

  int64_t first_query(const SpanSizes& n) const { return ((b * n.T + begin) * n.H + h) * n.D; }
  int64_t first_key(const SpanSizes& n) const { return ((b * (n.L + n.T) + begin) * n.H + h) * n.D; }
  int64_t row(const SpanSizes& n) const { return (b * n.H + h) * n.T + begin; }
};

/// Scores of `rows` queries in one buffer with two views. By key: query r, key s (from the first that query 0
/// sees) at r * by_key + s. By slot: its slot j is key r + j, hence at r * by_slot + j with by_slot = by_key
/// + 1. So a product over keys and one over slots meet in the same scores without a copy.
template <class T>
struct Band {
  Band(int64_t rows, int64_t slots)
      : by_slot((rows + slots + 15) / 16 * 16), by_key(by_slot - 1), scores(rows * by_slot) {}
  T* row(int64_t r) const { return scores.data() + r * by_slot; }
  /// Zeroes what lies outside the band, where products over all keys of the block read too.
  void clear_outside(int64_t rows, int64_t slots) const {
    for (int64_t r = 0; r < rows; ++r) {
      std::fill_n(row(r) - r, r, T(0));
      std::fill_n(row(r) + slots, rows - 1 - r, T(0));
    }
  }
  int64_t by_slot, by_key;
  Scratch<T> scores;
};

/// The dropout mask of a row of slots.
template <class T>
class Mask {
 public:
  Mask(double dropout, const RandomStream& random, int64_t slots)
      : random_(random),
        least_(T(std::ceil(dropout * 0x1p24) * 0x1p-24)),  // the numbers are multiples of 2^-24
        scale_(T(1 / (1 - dropout))),
        keep_(dropout > 0 ? slots : 0) {}

  /// 0 or 1 / (1 - dropout) for elements [first, first + n); null without dropout.
  const T* keep(int64_t first, int64_t n) const {
    if (!keep_.data()) return nullptr;
    uniform_run(keep_.data(), n, random_.seed, random_.stream, random_.offset + first);
    for (int64_t j = 0; j < n; ++j) keep_[j] = keep_[j] >= least_ ? scale_ : T(0);
    return keep_.data();
  }

 private:
  RandomStream random_;
  T least_, scale_;
  Scratch<T> keep_;
};

/// What forward and backward of one unit share: its keys and values, transposed [D, keys] so that the
/// products read all operands along rows, and the scores.
template <class T>
class Head {
 public:
  Head(const Inputs<T>& inputs, const Cut& cut, const Unit& u)
      : in(inputs),
        unit(u),
        ld(padded_stride(u.keys)),
        keys(in.n.D * ld),
        values(in.n.D * ld),
        query(cut.rows * in.n.D) {
    const int64_t C = in.n.H * in.n.D;
    transpose(keys.data(), ld, in.k + u.first_key(in.n), C, u.keys, in.n.D);
    transpose(values.data(), ld, in.v + u.first_key(in.n), C, u.keys, in.n.D);
  }

  void load_queries(int64_t t, int64_t rows) const {
    const int64_t D = in.n.D, C = in.n.H * D;
    copy_rows(query.data(), in.q + unit.first_query(in.n) + t * C, C, rows, D, T(1) / std::sqrt(T(D)));
  }

  /// Scores of the loaded queries, unit.begin + t onwards, for slots [slot, slot + slots).
  void scores(const Band<T>& band, int64_t t, int64_t rows, int64_t slot, int64_t slots) const {
    const int64_t D = in.n.D;
    T* s = band.scores.data();
    gemm_serial<T>(kNo, kNo, rows, rows + slots - 1, D, query.data(), D, keys.data() + t + slot, ld, 0, s,
                   band.by_key);
    gemm_serial<T>(kNo, kNo, rows, slots, D, query.data(), D, in.key_pe + slot, in.n.L, 1, s, band.by_slot);
  }

  const Inputs<T>& in;
  const Unit& unit;
  int64_t ld;
  Scratch<T> keys, values;
  Scratch<T> query;  // [rows, D], scaled by 1 / sqrt(D)
};

/// The backward of one unit: collects the gradients of its keys and values, [D, keys], and adds to the task's
/// dkey_pe.
template <class T>
class Backward {
 public:
  Backward(const Inputs<T>& inputs, const Cut& cut, const Unit& u)
      : in(inputs),
        unit(u),
        head(in, cut, u),
        mask(in.dropout, in.random, std::min(in.n.L, kSlots)),
        p(cut.rows, std::min(in.n.L, kSlots)),
        ds(cut.rows, std::min(in.n.L, kSlots)),
        delta(cut.rows),
        dquery(in.n.D * cut.rows),
        dkeys(in.n.D * head.ld),
        dvalues(in.n.D * head.ld) {
    std::fill_n(dkeys.data(), in.n.D * head.ld, T(0));
    std::fill_n(dvalues.data(), in.n.D * head.ld, T(0));
  }

  /// Queries unit.begin + t onwards. dq, dy and o point at the unit's first query, lse at its first row.
  /// Null: not wanted.
  void block(T* dq, T* dkey_pe, bool want_keys, bool want_values, const T* dy, const T* o, const T* lse,
             int64_t t, int64_t rows) {
    const int64_t D = in.n.D, L = in.n.L, C = in.n.H * D;
    const T* dyt = dy + t * C;
    head.load_queries(t, rows);
    row_products(delta.data(), dyt, o + t * C, C, rows, D);
    for (int64_t slot = 0; slot < L; slot += kSlots) {
      const int64_t slots = std::min(kSlots, L - slot), width = rows + slots - 1, at = t + slot;
      recompute(dyt, lse + t, t, rows, slot, slots);
      if (dq) {
        gemm_serial<T>(kNo, kYes, D, rows, width, head.keys.data() + at, head.ld, ds.scores.data(), ds.by_key,
                       T(slot > 0), dquery.data(), rows);
        gemm_serial<T>(kNo, kYes, D, rows, slots, in.key_pe + slot, L, ds.scores.data(), ds.by_slot, 1,
                       dquery.data(), rows);
      }
      if (dkey_pe)
        gemm_serial<T>(kYes, kNo, D, slots, rows, head.query.data(), D, ds.scores.data(), ds.by_slot, 1,
                       dkey_pe + slot, L);
      if (want_keys)
        gemm_serial<T>(kYes, kNo, D, width, rows, head.query.data(), D, ds.scores.data(), ds.by_key, 1,
                       dkeys.data() + at, head.ld);
      if (want_values)
        gemm_serial<T>(kYes, kNo, D, width, rows, dyt, C, p.scores.data(), p.by_key, 1, dvalues.data() + at,
                       head.ld);
    }
    if (dq) transpose(dq + t * C, C, dquery.data(), rows, D, rows, T(1) / std::sqrt(T(D)));
  }

  /// The gradients of the keys seen, into those of all keys of the batch.
  void store_keys(T* dk) const { store(dk, dkeys); }
  void store_values(T* dv) const { store(dv, dvalues); }

 private:
  static constexpr int64_t kSlots = 1024;  // per pass: p and ds of a block stay in L2

  /// p (dropout applied) and the gradient of the scores, zero outside the band.
  void recompute(const T* dy, const T* lse, int64_t t, int64_t rows, int64_t slot, int64_t slots) {
    const int64_t D = in.n.D, L = in.n.L;
    head.scores(p, t, rows, slot, slots);
    gemm_serial<T>(kNo, kNo, rows, rows + slots - 1, D, dy, in.n.H * D, head.values.data() + t + slot,
                   head.ld, 0, ds.scores.data(), ds.by_key);
    for (int64_t r = 0; r < rows; ++r) {
      const T* keep = mask.keep((unit.row(in.n) + t + r) * L + slot, slots);
      softmax_row_backward(p.row(r), ds.row(r), keep, slots, lse[r], delta[r]);
    }
    p.clear_outside(rows, slots);
    ds.clear_outside(rows, slots);
  }

  /// Other parts of the head see other keys: the rest of this part's buffer is zero.
  void store(T* all, const Scratch<T>& seen) const {
    const int64_t C = in.n.H * in.n.D, S = in.n.L + in.n.T;
    const auto clear = [&](int64_t first, int64_t last) {
      for (int64_t s = first; s < last; ++s)
        std::fill_n(all + ((unit.b * S + s) * C + unit.h * in.n.D), in.n.D, T(0));
    };
    clear(0, unit.begin);
    transpose(all + unit.first_key(in.n), C, seen.data(), head.ld, in.n.D, unit.keys);
    clear(unit.begin + unit.keys, S);
  }

  const Inputs<T>& in;
  const Unit& unit;
  Head<T> head;
  Mask<T> mask;
  Band<T> p, ds;
  Scratch<T> delta, dquery;   // [rows], [D, rows]
  Scratch<T> dkeys, dvalues;  // [D, keys]
};

}  // namespace

template <class T>
void span_attention_fwd(T* o, acc_t<T>* lse, const T* q, const T* k, const T* v, const T* key_pe,
                        const SpanSizes& n, double dropout, const RandomStream& random) {
  const Inputs<T> in{q, k, v, key_pe, n, dropout, random};
  const Cut cut(n);
  const int64_t C = n.H * n.D;
  parallel_for(cut.units, [&](int64_t i) {
    const Unit unit(cut, n, i);
    const Head<T> head(in, cut, unit);
    const Mask<T> mask(dropout, random, n.L);
    const Band<T> p(cut.rows, n.L);
    const Scratch<T> out(n.D * cut.rows), inverse_sum(cut.rows);
    for (int64_t t = 0; t < unit.end - unit.begin; t += cut.rows) {
      const int64_t rows = std::min(cut.rows, unit.end - unit.begin - t), row = unit.row(n) + t;
      head.load_queries(t, rows);
      head.scores(p, t, rows, 0, n.L);
      for (int64_t r = 0; r < rows; ++r) {
        const SoftmaxRow<T> softmax = exp_row(p.row(r), n.L);
        inverse_sum[r] = softmax.inverse_sum;
        lse[row + r] = softmax.lse;
        if (const T* keep = mask.keep((row + r) * n.L, n.L))
          for (int64_t j = 0; j < n.L; ++j) p.row(r)[j] *= keep[j];
      }
      p.clear_outside(rows, n.L);
      gemm_serial<T>(kNo, kYes, n.D, rows, rows + n.L - 1, head.values.data() + t, head.ld, p.scores.data(),
                     p.by_key, 0, out.data(), rows);
      store_output(o + unit.first_query(n) + t * C, C, out.data(), inverse_sum.data(), rows, n.D);
    }
  });
}

template <class T>
void span_attention_bwd(T* dq, T* dk, T* dv, T* dkey_pe, const T* dy, const T* q, const T* k, const T* v,
                        const T* key_pe, const T* o, const acc_t<T>* lse, const SpanSizes& n, double dropout,
                        const RandomStream& random, double beta) {
  constexpr int64_t kMostTasks = 64;  // each has a dkey_pe of its own
  const Inputs<T> in{q, k, v, key_pe, n, dropout, random};
  const Cut cut(n);
  const int64_t tasks = std::min(cut.units, kMostTasks), keys = n.B * (n.L + n.T) * n.H * n.D;
  const PartSums<T> key_sums(dk, cut.parts, keys), value_sums(dv, cut.parts, keys);
  const Scratch<T> pe_sums(dkey_pe ? tasks * n.D * n.L : 0);
  parallel_for(tasks, [&](int64_t task) {
    T* pe_sum = dkey_pe ? pe_sums.data() + task * n.D * n.L : nullptr;
    if (pe_sum) std::fill_n(pe_sum, n.D * n.L, T(0));
    for (int64_t i = task * cut.units / tasks; i < (task + 1) * cut.units / tasks; ++i) {
      const Unit unit(cut, n, i);
      const int64_t at = unit.first_query(n);
      Backward<T> backward(in, cut, unit);
      for (int64_t t = 0; t < unit.end - unit.begin; t += cut.rows)
        backward.block(dq ? dq + at : nullptr, pe_sum, dk, dv, dy + at, o + at, lse + unit.row(n), t,
                       std::min(cut.rows, unit.end - unit.begin - t));
      if (dk) backward.store_keys(key_sums.part(unit.part));
      if (dv) backward.store_values(value_sums.part(unit.part));
    }
  });
  key_sums.finish();
  value_sums.finish();
  if (dkey_pe) sum_partials(dkey_pe, T(beta), pe_sums.data(), tasks, n.D * n.L);
}

#define RMOE_INSTANTIATE(T)                                                                             \
  template void span_attention_fwd<T>(T*, acc_t<T>*, const T*, const T*, const T*, const T*,            \
                                      const SpanSizes&, double, const RandomStream&);                   \
  template void span_attention_bwd<T>(T*, T*, T*, T*, const T*, const T*, const T*, const T*, const T*, \
                                      const T*, const acc_t<T>*, const SpanSizes&, double,              \
                                      const RandomStream&, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
