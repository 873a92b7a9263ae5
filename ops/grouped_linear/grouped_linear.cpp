#include "ops/grouped_linear/grouped_linear.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "engine/gemm.hpp"
#include "ops/grouped_linear/kernels.hpp"

namespace rmoe {

Var grouped_linear(const Var& x, const Var& weight, const Var& bias, const Tensor& offsets) {
  const Tensor X = x.value(), W = weight.value(), b = bias.value();
  RMOE_CHECK(W.rank() == 3 && X.rank() == 2 && X.dim(1) == W.dim(2), "grouped_linear: weight ", W.shape(),
             " does not fit x ", X.shape());
  const int64_t E = W.dim(0), F = W.dim(1), C = W.dim(2), M = X.dim(0);
  RMOE_CHECK(!b || b.shape() == (Shape{E, F}), "grouped_linear: bias ", b.shape(), " does not fit weight ",
             W.shape());
  RMOE_CHECK(offsets.shape() == Shape{E + 1}, "grouped_linear: offsets ", offsets.shape(),
             " do not fit weight ", W.shape());

  Tensor y = empty_like(X, {M, F});
  count_flops(2.0 * M * F * C);
  DISPATCH(X, grouped_linear_fwd, y, X, W, b, offsets, M, E, F, C);
  const bool bf16 = Bf16Products::on();
  return record("grouped_linear", y, {x, weight, bias}, [=](const Tensor& dy, Grads& d) {
    const Bf16Products products(bf16);
    if (d.wants(0)) {
      const auto [dx, beta] = d.place(0);
      count_flops(2.0 * M * F * C);
      DISPATCH(X, grouped_linear_bwd_x, dx, dy, W, offsets, M, E, F, C, beta);
    }
    if (d.wants(1)) {
      const auto [dw, beta] = d.place(1);
      count_flops(2.0 * M * F * C);
      DISPATCH(X, grouped_linear_bwd_w, dw, dy, X, offsets, E, F, C, beta);
    }
    if (d.wants(2)) {
      const auto [db, beta] = d.place(2);
      DISPATCH(X, grouped_linear_bwd_b, db, dy, offsets, E, F, beta);
    }
  });
}

}  // namespace rmoe
