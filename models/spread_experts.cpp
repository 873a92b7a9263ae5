#include "models/spread_experts.hpp"

#include "engine/readback.hpp"
#include "engine/rehearsal.hpp"
#include "ops/exchange_rows/exchange_rows.hpp"
#include "ops/experts/experts.hpp"

namespace rmoe {
namespace {

/// What every rank sends to the experts of this one.
struct Arrivals {
  RowCounts counts;
  std::vector<int32_t> experts;  // of every row that arrives, counted from this rank's first
};

/// From the offsets of all ranks' sorted rows, [R, E+1].
Arrivals arrivals_at(const std::vector<double>& offsets, int64_t E, int rank, int size) {
  const int64_t mine = E / size;
  const auto offset = [&](int from, int64_t e) { return int64_t(offsets[size_t(from * (E + 1) + e)]); };
  Arrivals arrivals;
  for (int r = 0; r < size; ++r) {
    arrivals.counts.to.push_back(offset(rank, (r + 1) * mine) - offset(rank, r * mine));
    arrivals.counts.from.push_back(offset(r, (rank + 1) * mine) - offset(r, rank * mine));
    for (int64_t e = 0; e < mine; ++e) {
      const int64_t first = rank * mine + e;
      arrivals.experts.insert(arrivals.experts.end(), size_t(offset(r, first + 1) - offset(r, first)),
                              int32_t(e));
    }
  }
  return arrivals;
}

/// The offsets of all ranks, [R, E+1]. In a rehearsal nobody counts: experts are taken to be loaded alike.
std::vector<double> read_offsets(const Tensor& offsets, int64_t rows) {
  std::vector<double> values = read_all({offsets});
  const int64_t E = offsets.dim(1) - 1;
  if (rehearsing())
    for (size_t i = 0; i < values.size(); ++i) values[i] = double(int64_t(i) % (E + 1) * rows / E);
  return values;
}

}  // namespace

Var spread_swiglu_experts(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
                          const Var& w2, Communicator& ranks) {
  const int64_t E = routes.offsets.numel() - 1, mine = w1.dim(0);
  const Tensor offsets = empty_like(routes.offsets, {ranks.size(), E + 1});
  ranks.all_gather(offsets, routes.offsets.reshape({1, E + 1}));
  const Arrivals arrivals = arrivals_at(read_offsets(offsets, routes.rows), E, ranks.rank(), ranks.size());
  const auto M = int64_t(arrivals.experts.size());

  const Device device = x.value().device();
  const Var arrived = exchange_rows(expert_dispatch(x, routes), arrivals.counts, M, ranks);  // [M,C]
  const Routes here = sort_by_expert(to(from_vector(arrivals.experts, {M, 1}), device), mine);
  const Var once(full({M, 1}, 1, gates.value().dtype(), device));
  const Var y = swiglu_experts(arrived, here, once, w1, w3, w2);  // [M,C], as they arrived
  const Var returned = exchange_rows(y, arrivals.counts.reversed(), routes.rows, ranks);
  return expert_combine(returned, gates, routes);
}

}  // namespace rmoe
