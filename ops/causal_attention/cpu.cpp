#include "engine/gemm.hpp"
#include "ops/attention_rows.hpp"
#include "ops/causal_attention/kernels.hpp"

namespace rmoe::cpu {
namespace {

constexpr auto kNo = Trans::no, kYes = Trans::yes;

/// The work, cut by the sizes alone. A unit is one of `parts` pieces of one kv head, whose (query head, block
/// of queries) pairs are dealt out in turn, since late blocks cost more than early ones.
struct Cut {
  explicit Cut(const CausalSizes& n)
      : rows(queries_per_block(n.S)),
        blocks((n.T + rows - 1) / rows),
        pairs(n.H / n.G * blocks),
        parts(parts_per_head(n.B * n.G, pairs)),
        units(n.B * n.G * parts) {}
  int64_t rows, blocks, pairs, parts, units;
};

struct Unit {
  Unit(const Cut& cut, const CausalSizes& n, int64_t i)
      : b(i / cut.parts / n.G), g(i / cut.parts % n.G), part(i % cut.parts) {}
  int64_t b, g, part;
};

/// Calls f(query head, first query, queries, keys that the first one sees) for the blocks of a unit.
template <class F>
void for_blocks(const Unit& unit, const Cut& cut, const CausalSizes& n, F&& f) {
  for (int64_t pair = unit.part; pair < cut.pairs; pair += cut.parts) {
    const int64_t t = pair % cut.blocks * cut.rows;
    f(unit.g * (n.H / n.G) + pair / cut.blocks, t, std::min(cut.rows, n.T - t), n.S - n.T + t + 1);
  }
}

/// Keys and values of one kv head, transposed [D, S]: the products then read all operands along rows.
template <class T>
struct KeysValues {
  KeysValues(const T* k, const T* v, const CausalSizes& n, const Unit& unit)
      : ld(padded_stride(n.S)), keys(n.D * ld), values(n.D * ld) {
    const int64_t at = (unit.b * n.S * n.G + unit.g) * n.D;
    transpose(keys.data(), ld, k + at, n.G * n.D, n.S, n.D);
    transpose(values.data(), ld, v + at, n.G * n.D, n.S, n.D);
  }
  int64_t ld;
  Scratch<T> keys, values;
};

/// Softmax of a block's scores [rows, width], whose row r sees first + r keys: probabilities but for their
/// factor, zero behind.
template <class T>
void softmax_block(T* scores, T* inverse_sum, T* lse, int64_t first, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) {
    T* x = scores + r * width;
    const int64_t seen = first + r;
    const SoftmaxRow<T> row = exp_row(x, seen);
    std::fill(x + seen, x + width, T(0));
    inverse_sum[r] = row.inverse_sum;
    lse[r] = row.lse;
  }
}

/// One unit of the backward: adds what its queries contribute to the gradients of its keys and values, [D,
/// S].
template <class T>
class Backward {
 public:
  Backward(const Cut& cut, const CausalSizes& size, const KeysValues<T>& kv)
      : n(size),
        head(kv),
        query(cut.rows * n.D),
        delta(cut.rows),
        p(cut.rows * std::min(n.S, kKeys)),
        ds(cut.rows * std::min(n.S, kKeys)),
        dquery(n.D * cut.rows),
        dkeys(n.D * kv.ld),
        dvalues(n.D * kv.ld) {
    std::fill_n(dkeys.data(), n.D * head.ld, T(0));
    std::fill_n(dvalues.data(), n.D * head.ld, T(0));
  }

  /// `rows` queries of one head, the first of which sees `first` keys; q, dy, o and dq (null: not wanted)
  /// point at it.
  void block(T* dq, const T* dy, const T* q, const T* o, const T* lse, int64_t first, int64_t rows,
             bool want_keys, bool want_values) {
    const int64_t D = n.D, C = n.H * D;
    const T scale = T(1) / std::sqrt(T(D));
    copy_rows(query.data(), q, C, rows, D, scale);
    row_products(delta.data(), dy, o, C, rows, D);
    const int64_t seen = first + rows - 1;
    for (int64_t s = 0; s < seen; s += kKeys) {
      const int64_t width = std::min(kKeys, seen - s);
      recompute(dy, lse, s, first, rows, width);
      if (dq)
        gemm_serial<T>(kNo, kYes, D, rows, width, head.keys.data() + s, head.ld, ds.data(), width, T(s > 0),
                       dquery.data(), rows);
      if (want_keys)
        gemm_serial<T>(kYes, kNo, D, width, rows, query.data(), D, ds.data(), width, 1, dkeys.data() + s,
                       head.ld);
      if (want_values)
        gemm_serial<T>(kYes, kNo, D, width, rows, dy, C, p.data(), width, 1, dvalues.data() + s, head.ld);
    }
    if (dq) transpose(dq, C, dquery.data(), rows, D, rows, scale);
  }

  /// The sums over the unit's blocks, to the head's first key and value.
  void store_keys(T* dk) const { transpose(dk, n.G * n.D, dkeys.data(), head.ld, n.D, n.S); }
  void store_values(T* dv) const { transpose(dv, n.G * n.D, dvalues.data(), head.ld, n.D, n.S); }

 private:
  static constexpr int64_t kKeys = 1024;  // per pass: p and ds of a block stay in L2

  /// p and ds of a block against keys s .. s + width, zero behind the diagonal.
  void recompute(const T* dy, const T* lse, int64_t s, int64_t first, int64_t rows, int64_t width) {
    const int64_t D = n.D;
    gemm_serial<T>(kNo, kNo, rows, width, D, query.data(), D, head.keys.data() + s, head.ld, 0, p.data(),
                   width);
    gemm_serial<T>(kNo, kNo, rows, width, D, dy, n.H * D, head.values.data() + s, head.ld, 0, ds.data(),
                   width);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t seen = std::clamp<int64_t>(first + r - s, 0, width);
      T *pr = p.data() + r * width, *dsr = ds.data() + r * width;
      softmax_row_backward<T>(pr, dsr, nullptr, seen, lse[r], delta[r]);
      std::fill(pr + seen, pr + width, T(0));
      std::fill(dsr + seen, dsr + width, T(0));
    }
  }

  const CausalSizes& n;
  const KeysValues<T>& head;
  Scratch<T> query, delta;    // [rows, D] scaled by 1 / sqrt(D), [rows]
  Scratch<T> p, ds;           // [rows, width]
  Scratch<T> dquery;          // [D, rows]
  Scratch<T> dkeys, dvalues;  // [D, S]
};

}  // namespace

template <class T>
void causal_attention_fwd(T* o, acc_t<T>* lse, const T* q, const T* k, const T* v, const CausalSizes& n) {
  const Cut cut(n);
  const int64_t D = n.D, C = n.H * D;
  parallel_for(cut.units, [&](int64_t i) {
    const Unit unit(cut, n, i);
    const KeysValues<T> head(k, v, n, unit);
    const Scratch<T> query(cut.rows * D), scores(cut.rows * n.S), out(D * cut.rows), inverse_sum(cut.rows);
    for_blocks(unit, cut, n, [&](int64_t h, int64_t t, int64_t rows, int64_t first) {
      const int64_t at = (unit.b * n.T + t) * C + h * D, width = first + rows - 1;
      copy_rows(query.data(), q + at, C, rows, D, T(1) / std::sqrt(T(D)));
      gemm_serial<T>(kNo, kNo, rows, width, D, query.data(), D, head.keys.data(), head.ld, 0, scores.data(),
                     width);
      softmax_block(scores.data(), inverse_sum.data(), lse + (unit.b * n.H + h) * n.T + t, first, rows,
                    width);
      gemm_serial<T>(kNo, kYes, D, rows, width, head.values.data(), head.ld, scores.data(), width, 0,
                     out.data(), rows);
      store_output(o + at, C, out.data(), inverse_sum.data(), rows, D);
    });
  });
}

template <class T>
void causal_attention_bwd(T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* o,
                          const acc_t<T>* lse, const CausalSizes& n) {
  const Cut cut(n);
  const int64_t C = n.H * n.D;
  const PartSums<T> keys(dk, cut.parts, n.B * n.S * n.G * n.D);
  const PartSums<T> values(dv, cut.parts, n.B * n.S * n.G * n.D);
  parallel_for(cut.units, [&](int64_t i) {
    const Unit unit(cut, n, i);
    const KeysValues<T> head(k, v, n, unit);
    Backward<T> backward(cut, n, head);
    for_blocks(unit, cut, n, [&](int64_t h, int64_t t, int64_t rows, int64_t first) {
      const int64_t at = (unit.b * n.T + t) * C + h * n.D;
      backward.block(dq ? dq + at : nullptr, dy + at, q + at, o + at, lse + (unit.b * n.H + h) * n.T + t,
                     first, rows, dk, dv);
    });
    const int64_t at = (unit.b * n.S * n.G + unit.g) * n.D;
    if (dk) backward.store_keys(keys.part(unit.part) + at);
    if (dv) backward.store_values(values.part(unit.part) + at);
  });
  keys.finish();
  values.finish();
}

#define RMOE_INSTANTIATE(T)                                                                               \
  template void causal_attention_fwd<T>(T*, acc_t<T>*, const T*, const T*, const T*, const CausalSizes&); \
  template void causal_attention_bwd<T>(T*, T*, T*, const T*, const T*, const T*, const T*, const T*,     \
                                        const acc_t<T>*, const CausalSizes&);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
