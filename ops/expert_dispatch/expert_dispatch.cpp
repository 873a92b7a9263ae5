#include "ops/expert_dispatch/expert_dispatch.hpp"

#include "engine/dispatch.hpp"
#include "ops/expert_dispatch/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rmoe {

constexpr int64_t kMostExpertsOnGpu = 1024;  // whose counters fit the shared memory of a block

Routes sort_by_expert(const Tensor& experts, int64_t E) {
  RMOE_CHECK(experts.rank() == 2, "sort_by_expert: experts ", experts.shape(), " are not [N,K]");
  const int64_t N = experts.dim(0), K = experts.dim(1), M = N * K;
  RMOE_CHECK(M <= std::numeric_limits<int32_t>::max(), "sort_by_expert: ", M,
             " assignments do not fit 32 bits; use smaller batches");
  RMOE_CHECK(experts.device() != Device::cuda || E <= kMostExpertsOnGpu, "sort_by_expert: ", E,
             " experts, wanted at most ", kMostExpertsOnGpu, " on a GPU");
  const Routes routes{empty_like(experts, {E + 1}), empty_like(experts, {M}), empty_like(experts), N, K, M};
  DISPATCH_INTEGER(experts, sort_by_expert, routes.offsets, routes.assignment, routes.slot, experts, M, E);
  return routes;
}

Routes sort_by_expert(const Tensor& experts, int64_t E, const Tensor& probs, int64_t capacity) {
  RMOE_CHECK(experts.rank() == 2 && probs.shape() == (Shape{experts.dim(0), E}), "sort_by_expert: probs ",
             probs.shape(), " do not fit experts ", experts.shape(), " of ", E);
  RMOE_CHECK(capacity >= 0, "sort_by_expert: a capacity of ", capacity, ", wanted at least 0");
  const Tensor kept = empty_like(experts);
  DISPATCH(probs, limit_experts, kept, experts, probs, experts.dim(0), experts.dim(1), E, capacity);
  Routes routes = sort_by_expert(kept, E);
  routes.rows = experts.device() == Device::cpu ? routes.offsets.data<int32_t>()[E]
                                                : std::min(routes.rows, E * capacity);
  routes.assignment = routes.assignment.rows(0, routes.rows);
  return routes;
}

int64_t expert_capacity(double factor, int64_t assignments, int64_t E) {
  const double share = factor * double(assignments) / double(E);
  return int64_t(std::ceil(share * (1 - 1e-12)));
}

Var expert_dispatch(const Var& x, const Routes& routes) {
  const Tensor X = x.value(), assignment = routes.assignment, slot = routes.slot;
  const int64_t N = routes.tokens, K = routes.top_k, M = routes.rows;
  RMOE_CHECK(X.rank() == 2 && X.dim(0) == N, "expert_dispatch: x ", X.shape(), " does not fit routes of ", N,
             " tokens");
  const int64_t C = X.dim(1);

  Tensor y = empty_like(X, {M, C});
  DISPATCH(X, expert_dispatch_fwd, y, X, assignment, M, K, C);
  return record("expert_dispatch", y, {x}, [=](const Tensor& dy, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(dy, expert_dispatch_bwd, dx, dy, slot, N, K, C, beta);
  });
}

Var expert_combine(const Var& y, const Var& weights, const Routes& routes) {
  const Tensor Y = y.value(), W = weights.value(), assignment = routes.assignment, slot = routes.slot;
  const int64_t N = routes.tokens, K = routes.top_k, M = routes.rows;
  RMOE_CHECK(W.shape() == (Shape{N, K}), "expert_combine: weights ", W.shape(), " do not fit routes ",
             slot.shape());
  RMOE_CHECK(Y.rank() == 2 && Y.dim(0) == M, "expert_combine: y ", Y.shape(), " does not fit routes ",
             slot.shape(), ", wanted ", M, " rows");
  const int64_t C = Y.dim(1);

  Tensor out = empty_like(Y, {N, C});
  DISPATCH(Y, expert_combine_fwd, out, Y, W, slot, N, K, C);
  return record("expert_combine", out, {y, weights}, [=](const Tensor& dout, Grads& d) {
    if (d.wants(0)) {
      const auto [dy, beta] = d.place(0);
      DISPATCH(Y, expert_combine_bwd_y, dy, dout, W, assignment, M, K, C, beta);
    }
    if (d.wants(1)) {
      const auto [dw, beta] = d.place(1);
      DISPATCH(Y, expert_combine_bwd_w, dw, dout, Y, slot, N, K, C, beta);
    }
  });
}

}  // namespace rmoe
