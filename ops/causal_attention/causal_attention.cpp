#include "ops/causal_attention/causal_attention.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "ops/causal_attention/kernels.hpp"

namespace rmoe {
namespace {

CausalSizes checked_sizes(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads) {
  RMOE_CHECK(q.rank() == 3 && heads > 0 && q.dim(2) > 0 && q.dim(2) % heads == 0, "causal_attention: ", heads,
             " heads do not divide q ", q.shape());
  const int64_t D = q.dim(2) / heads;
  RMOE_CHECK(k.rank() == 3 && k.dim(0) == q.dim(0) && k.dim(1) >= q.dim(1) && k.dim(2) > 0 &&
                 k.dim(2) % D == 0 && heads % (k.dim(2) / D) == 0,
             "causal_attention: k ", k.shape(), " does not fit q ", q.shape(), " of ", heads, " heads");
  RMOE_CHECK(v.shape() == k.shape(), "causal_attention: v ", v.shape(), " does not fit k ", k.shape());
  return {q.dim(0), q.dim(1), k.dim(1), heads, k.dim(2) / D, D};
}

}  // namespace

Var causal_attention(const Var& q, const Var& k, const Var& v, int64_t heads) {
  const Tensor Q = q.value(), K = k.value(), V = v.value();
  const auto size = checked_sizes(Q, K, V, heads);
  const double pairs = double(size.T) * (size.S - size.T) + 0.5 * size.T * (size.T + 1);  // query, key
  const double product_flops = 2.0 * size.B * size.H * size.D * pairs;

  Tensor o = empty_like(Q), lse = empty_like(Q, {size.B, size.H, size.T}, acc_type(Q.dtype()));
  count_flops(2 * product_flops);
  DISPATCH(Q, causal_attention_fwd, o, lse, Q, K, V, size);
  return record("causal_attention", o, {q, k, v}, [=](const Tensor& dy, Grads& d) {
    const bool of_q = d.wants(0), of_k = d.wants(1), of_v = d.wants(2);
    const Tensor dq = of_q ? empty_like(Q) : Tensor(), dk = of_k ? empty_like(K) : Tensor(),
                 dv = of_v ? empty_like(V) : Tensor();
    count_flops((of_q + of_k + of_v + (of_q || of_k)) * product_flops);  // the last: dp = dy v^T
    DISPATCH(Q, causal_attention_bwd, dq, dk, dv, dy, Q, K, V, o, lse, size);
    d.give(0, dq);
    d.give(1, dk);
    d.give(2, dv);
  });
}

}  // namespace rmoe
