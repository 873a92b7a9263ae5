#include "ops/load_balance/load_balance.hpp"

#include "engine/dispatch.hpp"
#include "ops/load_balance/kernels.hpp"

namespace rmoe {

Var load_balance(const Var& probs, const Tensor& experts) {
  const Tensor X = probs.value();
  RMOE_CHECK(X.rank() == 2 && experts.rank() == 2 && experts.dim(0) == X.dim(0), "load_balance: experts ",
             experts.shape(), " do not fit probs ", X.shape());
  const int64_t N = X.dim(0), E = X.dim(1), K = experts.dim(1);

  Tensor loss = empty_like(X, {}), share = empty_like(X, {E}, acc_type(X.dtype()));
  DISPATCH(X, load_balance_fwd, loss, share, X, experts, N, K, E);
  return record("load_balance", loss, {probs}, [=](const Tensor& dloss, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(dloss, load_balance_bwd, dx, dloss, share, N, E, beta);
  });
}

}  // namespace rmoe
