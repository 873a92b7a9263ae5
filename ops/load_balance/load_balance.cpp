#include "ops/load_balance/load_balance.hpp"

#include "engine/dispatch.hpp"
#include "ops/load_balance/kernels.hpp"

namespace rmoe {

Var load_balance(const Var& probs, const Tensor& share) {
  const Tensor X = probs.value();
  RMOE_CHECK(X.rank() == 2 && share.shape() == Shape{X.dim(1)}, "load_balance: share ", share.shape(),
             " does not fit probs ", X.shape());
  const int64_t N = X.dim(0), E = X.dim(1);

  const Tensor loss = empty_like(X, {});
  DISPATCH(X, load_balance_fwd, loss, X, share, N, E);
  return record("load_balance", loss, {probs}, [=](const Tensor& dloss, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(dloss, load_balance_bwd, dx, dloss, share, N, E, beta);
  });
}

Tensor expert_share(const Tensor& experts, int64_t E, int64_t all) {
  const Tensor share = empty_like(experts, {E}, DType::f64);
  DISPATCH_INTEGER(experts, expert_share_fwd, share, experts, experts.numel(), E, all);
  return share;
}

}  // namespace rmoe
