#include "ops/rms_norm/rms_norm.hpp"

#include "engine/dispatch.hpp"
#include "ops/rms_norm/kernels.hpp"

namespace rmoe {

Var rms_norm(const Var& x, const Var& weight, double eps) {
  const Tensor X = x.value(), W = weight.value();
  RMOE_CHECK(X.rank() >= 1 && W.shape() == Shape{X.dim(-1)}, "rms_norm: weight ", W.shape(),
             " does not fit x ", X.shape());
  const int64_t C = X.dim(-1), N = X.numel() / std::max<int64_t>(C, 1);

  Tensor y = empty_like(X), r = empty_like(X, {N}, acc_type(X.dtype()));
  DISPATCH(X, rms_norm_fwd, y, r, X, W, N, C, eps);
  return record("rms_norm", y, {x, weight}, [=](const Tensor& dy, Grads& d) {
    if (d.wants(0)) {
      const auto [dx, beta] = d.place(0);
      DISPATCH(X, rms_norm_bwd_x, dx, dy, X, W, r, N, C, beta);
    }
    if (d.wants(1)) {
      const auto [dw, beta] = d.place(1);
      DISPATCH(X, rms_norm_bwd_w, dw, dy, X, r, N, C, beta);
    }
  });
}

}  // namespace rmoe
