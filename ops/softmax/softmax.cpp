#include "ops/softmax/softmax.hpp"

#include "engine/dispatch.hpp"
#include "ops/softmax/kernels.hpp"

#include <algorithm>

namespace rmoe {

Var softmax(const Var& x) {
  const Tensor X = x.value();
  RMOE_CHECK(X.rank() >= 1, "softmax: x ", X.shape(), " has no last dimension");
  const int64_t C = X.dim(-1), N = X.numel() / std::max<int64_t>(C, 1);

  const Tensor y = empty_like(X);
  DISPATCH(X, softmax_fwd, y, X, N, C);
  return record("softmax", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(y, softmax_bwd, dx, dy, y, N, C, beta);
  });
}

}  // namespace rmoe
