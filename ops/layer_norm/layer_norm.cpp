#include "ops/layer_norm/layer_norm.hpp"

#include "engine/dispatch.hpp"
#include "ops/layer_norm/kernels.hpp"

namespace rmoe {

Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps) {
  const Tensor X = x.value(), W = weight.value(), b = bias.value();
  RMOE_CHECK(X.rank() >= 1 && W.shape() == Shape{X.dim(-1)}, "layer_norm: weight ", W.shape(),
             " does not fit x ", X.shape());
  RMOE_CHECK(b.shape() == W.shape(), "layer_norm: bias ", b.shape(), " does not fit x ", X.shape());
  const int64_t C = X.dim(-1), N = X.numel() / std::max<int64_t>(C, 1);

  Tensor y = empty_like(X);
  Tensor mean = empty_like(X, {N}, acc_type(X.dtype())), rstd = empty_like(mean);
  DISPATCH(X, layer_norm_fwd, y, mean, rstd, X, W, b, N, C, eps);
  return record("layer_norm", y, {x, weight, bias}, [=](const Tensor& dy, Grads& d) {
    if (d.wants(0)) {
      const auto [dx, beta] = d.place(0);
      DISPATCH(X, layer_norm_bwd_x, dx, dy, X, W, mean, rstd, N, C, beta);
    }
    if (d.wants(1)) {
      const auto [dw, beta] = d.place(1);
      DISPATCH(X, layer_norm_bwd_w, dw, dy, X, mean, rstd, N, C, beta);
    }
    if (d.wants(2)) {
      const auto [db, beta] = d.place(2);
      DISPATCH(X, layer_norm_bwd_b, db, dy, N, C, beta);
    }
  });
}

}  // namespace rmoe
