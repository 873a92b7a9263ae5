#include "ops/dropout/dropout.hpp"

#include "engine/dispatch.hpp"
#include "ops/dropout/kernels.hpp"

#include <algorithm>

namespace rmoe {

Var dropout(const Var& x, double p, const RandomStream& random, const Tensor& row_index) {
  const Tensor X = x.value();
  RMOE_CHECK(p >= 0 && p < 1, "dropout: p ", p, " is not in [0, 1)");
  RMOE_CHECK(X.rank() >= 1, "dropout: x ", X.shape(), " has no rows");
  const int64_t F = X.dim(-1), N = X.numel() / std::max<int64_t>(F, 1);
  RMOE_CHECK(!row_index || row_index.shape() == Shape{N}, "dropout: row_index ", row_index.shape(),
             " does not fit x ", X.shape());
  if (p == 0) return x;

  const auto [seed, stream, offset] = random;
  const Tensor y = empty_like(X);
  DISPATCH(X, dropout_into, y, X, row_index, N, F, p, seed, stream, offset, 0.0);
  return record("dropout", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(dy, dropout_into, dx, dy, row_index, N, F, p, seed, stream, offset, beta);
  });
}

}  // namespace rmoe
