#include "ops/reduce/reduce.hpp"

#include "engine/dispatch.hpp"
#include "ops/reduce/kernels.hpp"

namespace rmoe {
namespace {

/// s sum_i x_i
Var scaled_sum(const char* op, const Var& x, double s) {
  const Tensor X = x.value(), y = empty_like(X, {}, acc_type(X.dtype()));
  DISPATCH(X, sum_fwd, y, X, X.numel(), s);
  return record(op, y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(dx, sum_bwd, dx, dy, dx.numel(), s, beta);
  });
}

}  // namespace

Var sum(const Var& x) { return scaled_sum("sum", x, 1); }

Var mean(const Var& x) {
  RMOE_CHECK(x.value().numel() > 0, "mean: x ", x.shape(), " has no elements");
  return scaled_sum("mean", x, 1.0 / x.value().numel());
}

}  // namespace rmoe
