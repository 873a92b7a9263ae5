#include "ops/cross_entropy/cross_entropy.hpp"

#include "engine/dispatch.hpp"
#include "ops/cross_entropy/kernels.hpp"

#include <algorithm>

namespace rmoe {

Var cross_entropy(const Var& logits, const Tensor& targets) {
  const Tensor X = logits.value();
  RMOE_CHECK(X.rank() == 2 && X.dim(0) > 0, "cross_entropy: logits ", X.shape(),
             ", wanted [N,V] with at least one row");
  RMOE_CHECK(targets.dtype() == DType::i32, "cross_entropy: targets are ", targets.dtype(), ", wanted i32");
  const int64_t N = X.dim(0), V = X.dim(1);
  RMOE_CHECK(targets.shape() == Shape{N}, "cross_entropy: targets ", targets.shape(), " do not fit logits ",
             X.shape());

  const Tensor loss = empty_like(X, {}, acc_type(X.dtype()));
  const Tensor lse = empty_like(X, {N}, DType::f64), target_logit = empty_like(lse);
  const Tensor counted = empty_like(lse, {});
  DISPATCH(X, cross_entropy_fold, lse, target_logit, X, targets, 0, N, V);
  DISPATCH(X, cross_entropy_mean, loss, counted, lse, target_logit, targets, N, V);
  return record("cross_entropy", loss, {logits}, [=](const Tensor& dloss, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(X, cross_entropy_bwd, dx, dloss, X, targets, lse, counted, 0, N, V, beta);
  });
}

int64_t count_targets(const Tensor& targets) {
  RMOE_CHECK(targets.device() == Device::cpu, "count_targets: targets are on ", targets.device(),
             ", wanted cpu; count them before they go there");
  const auto all = targets.span<int32_t>();
  return targets.numel() - std::ranges::count(all, kNotCounted);
}

}  // namespace rmoe
