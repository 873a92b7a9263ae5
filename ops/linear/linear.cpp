#include "ops/linear/linear.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "engine/gemm.hpp"
#include "ops/linear/kernels.hpp"

namespace rmoe {

namespace {

/// x in the type of the products: bf16 beside an fp32 weight is widened.
Tensor widened(const Tensor& x, const Tensor& weight) {
  return x.dtype() == DType::bf16 && weight.dtype() == DType::f32 ? to(x, DType::f32) : x;
}

}  // namespace

Var linear(const Var& x, const Var& weight, const Var& bias) {
  const Tensor kept = x.value(), W = weight.value(), b = bias.value(), X = widened(kept, W);
  RMOE_CHECK(W.rank() == 2 && X.rank() >= 1 && X.dim(-1) == W.dim(1), "linear: weight ", W.shape(),
             " does not fit x ", X.shape());
  const int64_t F = W.dim(0), C = W.dim(1), N = X.numel() / std::max<int64_t>(C, 1);
  RMOE_CHECK(!b || b.shape() == Shape{F}, "linear: bias ", b.shape(), " does not fit weight ", W.shape());

  Tensor y = empty_like(X, X.shape().with(-1, F));  // [N,F]
  count_flops(2.0 * N * F * C);
  DISPATCH(X, linear_fwd, y, X, W, b, N, F, C);
  const bool bf16 = Bf16Products::on();
  return record("linear", y, {x, weight, bias}, [=](const Tensor& dy, Grads& d) {
    const Bf16Products products(bf16);
    if (d.wants(0)) {
      const bool narrow = kept.dtype() != dy.dtype();
      const auto [dx, beta] = narrow ? Place{empty_like(kept, kept.shape(), dy.dtype()), 0} : d.place(0);
      count_flops(2.0 * N * F * C);
      DISPATCH(dy, linear_bwd_x, dx, dy, W, N, F, C, beta);
      if (narrow) d.give(0, to(dx, kept.dtype()));
    }
    if (d.wants(1)) {
      const auto [dw, beta] = d.place(1);
      count_flops(2.0 * N * F * C);
      DISPATCH(dy, linear_bwd_w, dw, dy, widened(kept, W), N, F, C, beta);
    }
    if (d.wants(2)) {
      const auto [db, beta] = d.place(2);
      DISPATCH(dy, linear_bwd_b, db, dy, N, F, beta);
    }
  });
}

}  // namespace rmoe
