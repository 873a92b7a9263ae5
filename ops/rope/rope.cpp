#include "ops/rope/rope.hpp"

#include "engine/dispatch.hpp"
#include "ops/rope/kernels.hpp"

namespace rmoe {

Var rope(const Var& x, int64_t heads, double theta, int64_t first_position) {
  const Tensor X = x.value();
  RMOE_CHECK(X.rank() == 3 && heads > 0 && X.dim(2) % (2 * heads) == 0, "rope: x ", X.shape(),
             " does not split into ", heads, " heads of even size");
  const int64_t B = X.dim(0), T = X.dim(1), H = heads, D = X.dim(2) / heads;

  Tensor y = empty_like(X);  // [B,T,H*D]
  DISPATCH(X, rope_fwd, y, X, B, T, H, D, theta, first_position);
  return record("rope", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(dy, rope_bwd, dx, dy, B, T, H, D, theta, first_position, beta);
  });
}

}  // namespace rmoe
