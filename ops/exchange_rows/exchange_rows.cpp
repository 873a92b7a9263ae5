#include "ops/exchange_rows/exchange_rows.hpp"

#include <numeric>

namespace rmoe {
namespace {

int64_t sum(const std::vector<int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

Tensor exchanged(const Tensor& x, const RowCounts& counts, int64_t rows, Communicator& ranks) {
  const int64_t sent = sum(counts.to), received = sum(counts.from);
  const Tensor y = empty_like(x, x.shape().with(0, rows));
  fill(y.rows(received, rows - received), 0);
  ranks.all_to_all(y.rows(0, received), counts.from, x.rows(0, sent), counts.to);
  return y;
}

}  // namespace

Var exchange_rows(const Var& x, const RowCounts& counts, int64_t rows, Communicator& ranks) {
  const auto size = size_t(ranks.size());
  RMOE_CHECK(counts.to.size() == size && counts.from.size() == size, "exchange_rows: counts for ",
             counts.to.size(), " and from ", counts.from.size(), " ranks, wanted ", size);
  RMOE_CHECK(x.shape().rank() == 2 && x.dim(0) >= sum(counts.to) && rows >= sum(counts.from),
             "exchange_rows: x ", x.shape(), " and ", rows, " rows of y, wanted at least ", sum(counts.to),
             " and ", sum(counts.from));
  const Tensor y = exchanged(x.value(), counts, rows, ranks);
  return record("exchange_rows", y, {x},
                [back = counts.reversed(), M = x.dim(0), &ranks](const Tensor& dy, Grads& d) {
                  d.give(0, exchanged(dy, back, M, ranks));
                });
}

}  // namespace rmoe
