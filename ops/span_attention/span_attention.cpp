#include "ops/span_attention/span_attention.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "ops/span_attention/kernels.hpp"

namespace rmoe {
namespace {

SpanSizes checked_sizes(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_pe,
                        int64_t heads) {
  RMOE_CHECK(q.rank() == 3 && heads > 0 && q.dim(2) > 0 && q.dim(2) % heads == 0, "span_attention: ", heads,
             " heads do not divide q ", q.shape());
  const int64_t B = q.dim(0), T = q.dim(1), C = q.dim(2), D = C / heads;
  RMOE_CHECK(key_pe.rank() == 2 && key_pe.dim(0) == D && key_pe.dim(1) > 0, "span_attention: key_pe ",
             key_pe.shape(), " does not fit q ", q.shape(), " of ", heads, " heads");
  const int64_t L = key_pe.dim(1);
  RMOE_CHECK((k.shape() == Shape{B, L + T, C}), "span_attention: k ", k.shape(), " does not fit q ",
             q.shape(), " and span ", L);
  RMOE_CHECK(v.shape() == k.shape(), "span_attention: v ", v.shape(), " does not fit k ", k.shape());
  return {B, T, L, heads, D};
}

}  // namespace

Var span_attention(const Var& q, const Var& k, const Var& v, const Var& key_pe, int64_t heads, double dropout,
                   const RandomStream& random) {
  const Tensor Q = q.value(), K = k.value(), V = v.value(), E = key_pe.value();
  const auto size = checked_sizes(Q, K, V, E, heads);
  RMOE_CHECK(dropout >= 0 && dropout < 1, "span_attention: dropout ", dropout, " is not in [0, 1)");
  const double product_flops = 2.0 * size.B * size.H * size.T * size.L * size.D;

  Tensor o = empty_like(Q), lse = empty_like(Q, {size.B, heads, size.T}, acc_type(Q.dtype()));
  const Tensor mask =
      dropout > 0 ? empty_like(Q, {size.B, heads, size.T, size.mask_words()}, DType::i32) : Tensor();
  count_flops(3 * product_flops);
  DISPATCH(Q, span_attention_fwd, o, lse, mask, Q, K, V, E, size, dropout, random.seed, random.stream,
           random.offset);
  return record("span_attention", o, {q, k, v, key_pe}, [=](const Tensor& dy, Grads& d) {
    const bool of_q = d.wants(0), of_k = d.wants(1), of_v = d.wants(2), of_pe = d.wants(3);
    const Tensor dq = of_q ? empty_like(Q) : Tensor(), dk = of_k ? empty_like(K) : Tensor(),
                 dv = of_v ? empty_like(V) : Tensor();
    const Place pe = of_pe ? d.place(3) : Place{};
    const int products = (of_q || of_k || of_pe) + 2 * of_q + of_k + of_v + of_pe;  // the first: dp = dy v^T
    count_flops(products * product_flops);
    DISPATCH(Q, span_attention_bwd, dq, dk, dv, pe.into, dy, Q, K, V, E, o, lse, mask, size, dropout,
             pe.beta);
    d.give(0, dq);
    d.give(1, dk);
    d.give(2, dv);
  });
}

}  // namespace rmoe
