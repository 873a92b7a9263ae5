#include "ops/layer_norm/layer_norm.hpp"

#include "engine/dispatch.hpp"
#include "ops/layer_norm/kernels.hpp"

namespace rmoe {
namespace {

void check_shapes(const char* op, const Tensor& W, const Tensor& b, const char* input, const Tensor& X) {
  RMOE_CHECK(X.rank() >= 1 && W.shape() == Shape{X.dim(-1)}, op, ": weight ", W.shape(), " does not fit ",
             input, " ", X.shape());
  RMOE_CHECK(b.shape() == W.shape(), op, ": bias ", b.shape(), " does not fit ", input, " ", X.shape());
}

/// What was normalised, and how.
struct Normalised {
  Tensor x, weight, mean, rstd;
  int64_t N, C;

  void gradient(const Tensor& dx, const Tensor& dy, double beta) const {
    DISPATCH(x, layer_norm_bwd_x, dx, dy, x, weight, mean, rstd, N, C, beta);
  }

  /// Of the weight, input i of the op, and of the bias behind it.
  void parameter_gradients(int i, const Tensor& dy, Grads& d) const {
    if (d.wants(i)) {
      const auto [dw, beta] = d.place(i);
      DISPATCH(x, layer_norm_bwd_w, dw, dy, x, mean, rstd, N, C, beta);
    }
    if (d.wants(i + 1)) {
      const auto [db, beta] = d.place(i + 1);
      DISPATCH(x, layer_norm_bwd_b, db, dy, N, C, beta);
    }
  }
};

Normalised normalised(const Tensor& X, const Tensor& W) {
  const int64_t C = X.dim(-1), N = X.numel() / std::max<int64_t>(C, 1);
  const Tensor mean = empty_like(X, {N}, acc_type(X.dtype()));
  return {X, W, mean, empty_like(mean), N, C};
}

}  // namespace

Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps) {
  const Tensor X = x.value(), W = weight.value(), b = bias.value();
  check_shapes("layer_norm", W, b, "x", X);

  const Tensor y = empty_like(X);
  const Normalised kept = normalised(X, W);
  DISPATCH(X, layer_norm_fwd, y, kept.mean, kept.rstd, X, W, b, kept.N, kept.C, eps);
  return record("layer_norm", y, {x, weight, bias}, [=](const Tensor& dy, Grads& d) {
    if (d.wants(0)) {
      const auto [dx, beta] = d.place(0);
      kept.gradient(dx, dy, beta);
    }
    kept.parameter_gradients(1, dy, d);
  });
}

Var add_layer_norm(const Var& x1, const Var& x2, const Var& weight, const Var& bias, double eps) {
  const Tensor X1 = x1.value(), X2 = x2.value(), W = weight.value(), b = bias.value();
  RMOE_CHECK(X1.shape() == X2.shape(), "add_layer_norm: x2 ", X2.shape(), " does not fit x1 ", X1.shape());
  check_shapes("add_layer_norm", W, b, "x1", X1);

  const Tensor y = empty_like(X1), sum = empty_like(X1);
  const Normalised kept = normalised(sum, W);
  DISPATCH(X1, add_layer_norm_fwd, sum, y, kept.mean, kept.rstd, X1, X2, W, b, kept.N, kept.C, eps);
  return record("add_layer_norm", y, {x1, x2, weight, bias}, [=](const Tensor& dy, Grads& d) {
    if (d.wants(0) || d.wants(1)) {
      const Tensor dx = empty_like(kept.x);  // of x1 and of x2
      kept.gradient(dx, dy, 0);
      d.give(0, dx);
      d.give(1, dx);
    }
    kept.parameter_gradients(2, dy, d);
  });
}

}  // namespace rmoe
