#include "ops/rms_norm/rms_norm.hpp"

#include "engine/dispatch.hpp"
#include "ops/rms_norm/kernels.hpp"

namespace rmoe {
namespace {

void check_weight(const char* op, const Tensor& W, const char* input, const Tensor& X) {
  RMOE_CHECK(X.rank() >= 1 && W.shape() == Shape{X.dim(-1)}, op, ": weight ", W.shape(), " does not fit ",
             input, " ", X.shape());
}

}  // namespace

Var rms_norm(const Var& x, const Var& weight, double eps) {
  const Tensor X = x.value(), W = weight.value();
  check_weight("rms_norm", W, "x", X);
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

SumAndNorm add_rms_norm(const Var& x1, const Var& x2, const Var& weight, double eps) {
  const Tensor X1 = x1.value(), X2 = x2.value(), W = weight.value();
  RMOE_CHECK(X1.shape() == X2.shape(), "add_rms_norm: x2 ", X2.shape(), " does not fit x1 ", X1.shape());
  check_weight("add_rms_norm", W, "x1", X1);
  const int64_t C = X1.dim(-1), N = X1.numel() / std::max<int64_t>(C, 1);

  Tensor sum = empty_like(X1), y = empty_like(X1), r = empty_like(X1, {N}, acc_type(X1.dtype()));
  DISPATCH(X1, add_rms_norm_fwd, sum, y, r, X1, X2, W, N, C, eps);
  const Vars out = record("add_rms_norm", {sum, y}, {x1, x2, weight}, [=](const Tensors& dys, Grads& d) {
    const auto &dsum = dys[0], &dy = dys[1];
    if (d.wants(0) || d.wants(1)) {
      const Tensor dx = dsum.unique() ? dsum : clone(dsum);  // of x1 and of x2
      DISPATCH(sum, rms_norm_bwd_x, dx, dy, sum, W, r, N, C, 1.0);
      d.give(0, dx);
      d.give(1, dx);
    }
    if (d.wants(2)) {
      const auto [dw, beta] = d.place(2);
      DISPATCH(sum, rms_norm_bwd_w, dw, dy, sum, r, N, C, beta);
    }
  });
  return {out[0], out[1]};
}

}  // namespace rmoe
