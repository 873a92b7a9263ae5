#include "ops/activation/activation.hpp"

#include "engine/dispatch.hpp"
#include "ops/activation/kernels.hpp"

namespace rmoe {

Var relu(const Var& x) {
  const Tensor X = x.value(), y = empty_like(X);
  DISPATCH(X, relu_fwd, y, X, X.numel());
  return record("relu", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(y, relu_bwd, dx, dy, y, y.numel(), beta);
  });
}

Var gelu(const Var& x) {
  const Tensor X = x.value(), y = empty_like(X);
  DISPATCH(X, gelu_fwd, y, X, X.numel());
  return record("gelu", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(X, gelu_bwd, dx, dy, X, X.numel(), beta);
  });
}

Var sigmoid(const Var& x) {
  const Tensor X = x.value(), y = empty_like(X);
  DISPATCH(X, sigmoid_fwd, y, X, X.numel());
  return record("sigmoid", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(y, sigmoid_bwd, dx, dy, y, y.numel(), beta);
  });
}

Var tanh(const Var& x) {
  const Tensor X = x.value(), y = empty_like(X);
  DISPATCH(X, tanh_fwd, y, X, X.numel());
  return record("tanh", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(y, tanh_bwd, dx, dy, y, y.numel(), beta);
  });
}

Var silu(const Var& x) {
  const Tensor X = x.value(), y = empty_like(X);
  DISPATCH(X, silu_fwd, y, X, X.numel());
  return record("silu", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(X, silu_bwd, dx, dy, X, X.numel(), beta);
  });
}

}  // namespace rmoe
