#pragma once

#include "autograd/tape.hpp"
#include "engine/comm/communicator.hpp"

namespace rmoe {

/// How many rows a rank sends to each rank, and receives from each.
struct RowCounts {
  std::vector<int64_t> to, from;
  RowCounts reversed() const { return {from, to}; }
};

// y = rows of all ranks: those of rank 0 that are meant for this one, in order, then those of rank 1, ...
// x [M,C]: counts.to[0] rows for rank 0, then those for rank 1, ... -> y [rows,C]
// Lepikhin et al. 2021 (GShard), section 3.2: the all-to-all around experts that are spread over ranks.
// Rows of x behind the counted ones stay, rows of y behind them are zeros, in gradients too.
// Backward sends every gradient back the way its row came. All ranks call it at the same time, also in
// backward.
Var exchange_rows(const Var& x, const RowCounts& counts, int64_t rows, Communicator& ranks);

}  // namespace rmoe
