#include "ops/elementwise/elementwise.hpp"

#include "engine/dispatch.hpp"
#include "ops/elementwise/kernels.hpp"

namespace rmoe {
namespace {

void check_equal_shapes(const char* op, const Tensor& a, const Tensor& b) {
  RMOE_CHECK(a.shape() == b.shape(), op, ": b ", b.shape(), " does not fit a ", a.shape());
}

}  // namespace

Var add(const Var& a, const Var& b) {
  const Tensor A = a.value(), B = b.value();
  check_equal_shapes("add", A, B);
  const Tensor y = empty_like(A);
  DISPATCH(A, add_fwd, y, A, B, A.numel());
  return record("add", y, {a, b}, [](const Tensor& dy, Grads& d) {
    d.give(0, dy);
    d.give(1, dy);
  });
}

Var sub(const Var& a, const Var& b) {
  const Tensor A = a.value(), B = b.value();
  check_equal_shapes("sub", A, B);
  const Tensor y = empty_like(A);
  DISPATCH(A, sub_fwd, y, A, B, A.numel());
  return record("sub", y, {a, b}, [](const Tensor& dy, Grads& d) {
    d.give(0, dy);
    if (!d.wants(1)) return;
    const auto [db, beta] = d.place(1);
    DISPATCH(dy, scale_into, db, dy, -1.0, dy.numel(), beta);
  });
}

Var mul(const Var& a, const Var& b) {
  const Tensor A = a.value(), B = b.value();
  check_equal_shapes("mul", A, B);
  const Tensor y = empty_like(A);
  const int64_t n = A.numel();
  DISPATCH(A, mul_into, y, A, B, n, 0.0);
  return record("mul", y, {a, b}, [=](const Tensor& dy, Grads& d) {
    if (d.wants(0)) {
      const auto [da, beta] = d.place(0);
      DISPATCH(A, mul_into, da, dy, B, n, beta);
    }
    if (d.wants(1)) {
      const auto [db, beta] = d.place(1);
      DISPATCH(A, mul_into, db, dy, A, n, beta);
    }
  });
}

Var scale(const Var& x, double s) {
  const Tensor X = x.value(), y = empty_like(X);
  DISPATCH(X, scale_into, y, X, s, X.numel(), 0.0);
  return record("scale", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(dy, scale_into, dx, dy, s, dy.numel(), beta);
  });
}

}  // namespace rmoe
