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

/// Keys and values of one kv head.
template <class T>
struct KeysValues {
  KeysValues(const T* k, const T* v, const CausalSizes& n, const Unit& unit, bool backward)
      : keys(n.S, n.D, true, backward), values(n.S, n.D, backward, !backward) {
    const int64_t at = (unit.b * n.S * n.G + unit.g) * n.D;
    keys.pack(k + at, n.G * n.D, n.S, n.D);
    values.pack(v + at, n.G * n.D, n.S, n.D);
  }
  PackedKeys<T> keys, values;
};

/// Rows of scores: whole vectors, off the powers of two, at which they would share a few sets of the cache.
int64_t score_stride(int64_t width) { return whole(width, 32) + kAligned; }

/// Rows [row, row + count) of a block and the keys that the last of them sees.
struct Group {
  int64_t row, count, keys;
};

/// f(group) for the rows of a block, row r of which sees the first `first` + r of `width` keys.
template <class F>
void for_groups(int64_t rows, int64_t first, int64_t width, F&& f) {
  for (int64_t row = 0; row < rows; row += kGroup) {
    const int64_t count = std::min(kGroup, rows - row);
    f(Group{row, count, std::clamp<int64_t>(first + row + count - 1, 0, width)});
  }
}

/// f(begin, end, row): keys [begin, end) are seen by no row before `row`. Their ends are those of groups.
template <class F>
void for_keys(int64_t first, int64_t width, F&& f) {
  const int64_t all = std::clamp<int64_t>(first - 1, 0, width);  // seen by every row
  if (all > 0) f(int64_t{0}, all, int64_t{0});
  for (int64_t begin = all, end; begin < width; begin = end) {
    const int64_t row = begin - first + 1;
    end = std::min(width, begin + kGroup - row % kGroup);
    f(begin, end, row);
  }
}

/// Softmax of a group's scores, rows `stride` apart: probabilities but for their factor, zero behind.
template <class T>
void softmax_group(T* scores, int64_t stride, T* inverse_sum, T* lse, int64_t first, const Group& group) {
  for (int64_t r = group.row; r < group.row + group.count; ++r) {
    T* x = scores + r * stride;
    const int64_t seen = first + r;
    const SoftmaxRow<T> row = exp_row(x, seen);
    std::fill(x + seen, x + group.keys, T(0));
    inverse_sum[r] = row.inverse_sum;
    lse[r] = row.lse;
  }
}

/// One unit of the backward: adds what its queries contribute to the gradients of its keys and values, [S,
/// Dp] with Dp = D in whole vectors.
template <class T>
class Backward {
 public:
  Backward(const Cut& cut, const CausalSizes& size, const KeysValues<T>& kv)
      : n(size),
        head(kv),
        Dp(whole(n.D, kAligned)),
        stride(score_stride(std::min(n.S, kKeys))),
        query(cut.rows * n.D),
        delta(cut.rows),
        p(cut.rows * stride),
        ds(cut.rows * stride),
        dquery(cut.rows * Dp),
        dkeys(n.S * Dp),
        dvalues(n.S * Dp) {
    std::fill_n(dkeys.data(), n.S * Dp, T(0));
    std::fill_n(dvalues.data(), n.S * Dp, T(0));
  }

  /// `rows` queries of one head, the first of which sees `first` keys; q, dy, o and dq (null: not wanted)
  /// point at it.
  void block(T* dq, const T* dy, const T* q, const T* o, const T* lse, int64_t first, int64_t rows,
             bool want_keys, bool want_values) {
    const int64_t D = n.D, C = n.H * D;
    const T scale = T(1) / std::sqrt(T(D));
    copy_rows(query.data(), q, C, rows, D, scale);
    row_products(delta.data(), dy, o, C, rows, D);
    const PackedMatrix<T> queries(want_keys ? rows : 0, Dp), outputs(want_values ? rows : 0, Dp);
    queries.pack(kNo, query.data(), D, D);
    outputs.pack(kNo, dy, C, D);
    const int64_t seen = first + rows - 1;
    for (int64_t s = 0; s < seen; s += kKeys) {
      const int64_t width = std::min(kKeys, seen - s);
      for_groups(rows, first - s, width, [&](const Group& group) {
        recompute(dy, lse, s, first - s, group);
        if (dq) add_to_queries(s, group);
      });
      for_keys(first - s, width, [&](int64_t begin, int64_t end, int64_t row) {
        const int64_t from = row * stride + begin, to = (s + begin) * Dp;
        const Window below{row, rows - row, 0, Dp};
        if (want_keys)
          gemm_serial<T>(kYes, end - begin, ds.data() + from, stride, queries, below, 1, dkeys.data() + to,
                         Dp);
        if (want_values)
          gemm_serial<T>(kYes, end - begin, p.data() + from, stride, outputs, below, 1, dvalues.data() + to,
                         Dp);
      });
    }
    if (!dq) return;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = 0; d < D; ++d) dq[r * C + d] = scale * dquery[r * Dp + d];
  }

  /// The sums over the unit's blocks, to the head's first key and value.
  void store_keys(T* dk) const { store(dk, dkeys); }
  void store_values(T* dv) const { store(dv, dvalues); }

 private:
  static constexpr int64_t kKeys = 512;  // per pass: p and ds of a block stay in L2

  /// p and ds of a group against keys from s on, of which row r sees the first `first` + r; zero behind.
  void recompute(const T* dy, const T* lse, int64_t s, int64_t first, const Group& group) {
    const int64_t D = n.D, C = n.H * D, at = group.row * stride;
    const Window keys{0, D, s, whole(group.keys, kAligned)};
    gemm_serial<T>(kNo, group.count, query.data() + group.row * D, D, head.keys.of_queries, keys, 0,
                   p.data() + at, stride);
    gemm_serial<T>(kNo, group.count, dy + group.row * C, C, head.values.of_queries, keys, 0, ds.data() + at,
                   stride);
    for (int64_t r = group.row; r < group.row + group.count; ++r) {
      const int64_t seen = std::clamp<int64_t>(first + r, 0, group.keys);
      T *pr = p.data() + r * stride, *dsr = ds.data() + r * stride;
      softmax_row_backward<T>(pr, dsr, nullptr, seen, lse[r], delta[r]);
      std::fill(pr + seen, pr + group.keys, T(0));
      std::fill(dsr + seen, dsr + group.keys, T(0));
    }
  }

  void add_to_queries(int64_t s, const Group& group) {
    gemm_serial<T>(kNo, group.count, ds.data() + group.row * stride, stride, head.keys.of_scores,
                   {s, group.keys, 0, Dp}, T(s > 0), dquery.data() + group.row * Dp, Dp);
  }

  void store(T* to, const Scratch<T>& sums) const {
    for (int64_t s = 0; s < n.S; ++s) std::copy_n(sums.data() + s * Dp, n.D, to + s * n.G * n.D);
  }

  const CausalSizes& n;
  const KeysValues<T>& head;
  int64_t Dp, stride;         // of p and ds
  Scratch<T> query, delta;    // [rows, D] scaled by 1 / sqrt(D), [rows]
  Scratch<T> p, ds;           // [rows, stride]
  Scratch<T> dquery;          // [rows, Dp]
  Scratch<T> dkeys, dvalues;  // [S, Dp]
};

}  // namespace

template <class T>
void causal_attention_fwd(T* o, acc_t<T>* lse, const T* q, const T* k, const T* v, const CausalSizes& n) {
  const Cut cut(n);
  const int64_t D = n.D, C = n.H * D, Dp = whole(D, kAligned), stride = score_stride(n.S);
  parallel_for(cut.units, [&](int64_t i) {
    const Unit unit(cut, n, i);
    const KeysValues<T> head(k, v, n, unit, false);
    const Scratch<T> query(cut.rows * D), scores(cut.rows * stride), out(cut.rows * Dp),
        inverse_sum(cut.rows);
    for_blocks(unit, cut, n, [&](int64_t h, int64_t t, int64_t rows, int64_t first) {
      const int64_t at = (unit.b * n.T + t) * C + h * D;
      copy_rows(query.data(), q + at, C, rows, D, T(1) / std::sqrt(T(D)));
      for_groups(rows, first, first + rows - 1, [&](const Group& group) {
        T* group_scores = scores.data() + group.row * stride;
        gemm_serial<T>(kNo, group.count, query.data() + group.row * D, D, head.keys.of_queries,
                       {0, D, 0, whole(group.keys, kAligned)}, 0, group_scores, stride);
        softmax_group(scores.data(), stride, inverse_sum.data(), lse + (unit.b * n.H + h) * n.T + t, first,
                      group);
        gemm_serial<T>(kNo, group.count, group_scores, stride, head.values.of_scores, {0, group.keys, 0, Dp},
                       0, out.data() + group.row * Dp, Dp);
      });
      scale_rows(o + at, C, out.data(), Dp, inverse_sum.data(), rows, D);
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
    const KeysValues<T> head(k, v, n, unit, true);
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
