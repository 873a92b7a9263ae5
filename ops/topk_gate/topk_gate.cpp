#include "ops/topk_gate/topk_gate.hpp"

#include "engine/dispatch.hpp"
#include "ops/topk_gate/kernels.hpp"

namespace rmoe {

Gate topk_gate(const Var& logits, int64_t K, bool renormalise) {
  const Tensor X = logits.value();
  RMOE_CHECK(X.rank() == 2, "topk_gate: logits ", X.shape(), " are not [N,E]");
  const int64_t N = X.dim(0), E = X.dim(1);
  RMOE_CHECK(K >= 1 && K <= E, "topk_gate: top ", K, " does not fit logits ", X.shape(), ", wanted 1 to ", E);

  const DType acc = acc_type(X.dtype());
  Tensor probs = empty_like(X, {N, E}, acc), weights = empty_like(X, {N, K}, acc);
  Tensor experts = empty_like(X, {N, K}, DType::i32);
  DISPATCH(X, topk_gate_fwd, probs, weights, experts, X, N, E, K, renormalise);
  const Vars y = record("topk_gate", {probs, weights}, {logits}, [=](const Tensors& dys, Grads& d) {
    const auto [dx, beta] = d.place(0);
    DISPATCH(X, topk_gate_bwd, dx, dys[0], dys[1], probs, weights, experts, N, E, K, renormalise, beta);
  });
  return {y[0], y[1], experts};
}

}  // namespace rmoe
