#include "ops/cosine_head/cosine_head.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "ops/cosine_head/kernels.hpp"

namespace rmoe {

Var cosine_head(const Var& features, const Var& embeddings, const Var& temperature) {
  const Tensor f = features.value(), v = embeddings.value(), tau = temperature.value();
  RMOE_CHECK(f.rank() == 2 && v.rank() == 2 && f.dim(1) == v.dim(1), "cosine_head: embeddings ", v.shape(),
             " do not fit features ", f.shape());
  RMOE_CHECK(tau.shape() == Shape{1}, "cosine_head: temperature ", tau.shape(), ", wanted [1]");
  const int64_t N = f.dim(0), E = v.dim(0), P = f.dim(1);
  const DType acc = acc_type(f.dtype());

  Tensor y = empty_like(f, {N, E}), r = empty_like(f, {N}, acc), s = empty_like(f, {E}, acc);
  count_flops(2.0 * N * E * P);
  DISPATCH(f, cosine_head_fwd, y, r, s, f, v, tau, N, E, P);
  return record("cosine_head", y, {features, embeddings, temperature}, [=](const Tensor& dy, Grads& d) {
    const Tensor g = empty_like(dy), over_e = empty_like(r), over_n = empty_like(s);
    DISPATCH(f, cosine_head_bwd, g, over_e, over_n, dy, y, r, s, tau, N, E);
    if (d.wants(0)) {
      const auto [df, beta] = d.place(0);
      count_flops(2.0 * N * E * P);
      DISPATCH(f, cosine_head_bwd_f, df, g, over_e, f, v, r, N, E, P, beta);
    }
    if (d.wants(1)) {
      const auto [dv, beta] = d.place(1);
      count_flops(2.0 * N * E * P);
      DISPATCH(f, cosine_head_bwd_v, dv, g, over_n, f, v, s, N, E, P, beta);
    }
    if (d.wants(2)) {
      const auto [dtau, beta] = d.place(2);
      DISPATCH(f, cosine_head_bwd_tau, dtau, over_n, tau, E, beta);
    }
  });
}

}  // namespace rmoe
