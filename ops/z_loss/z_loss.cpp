#include "ops/z_loss/z_loss.hpp"

#include "engine/dispatch.hpp"
#include "ops/z_loss/kernels.hpp"

namespace rmoe {

Var z_loss(const Var& logits) {
  const Tensor X = logits.value();
  RMOE_CHECK(X.rank() == 2 && X.dim(1) > 0, "z_loss: logits ", X.shape(), ", wanted [N,E] with E > 0");
  const int64_t N = X.dim(0), E = X.dim(1);

  const Tensor loss = empty_like(X, {}, acc_type(X.dtype())), lse = empty_like(X, {N}, DType::f64);
  DISPATCH(X, z_loss_fwd, loss, lse, X, N, E);
  return record("z_loss", loss, {logits}, [=](const Tensor& dloss, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(X, z_loss_bwd, dx, dloss, X, lse, N, E, beta);
  });
}

}  // namespace rmoe
