#include "ops/swiglu/swiglu.hpp"

#include "engine/dispatch.hpp"
#include "ops/swiglu/kernels.hpp"

namespace rmoe {

Var swiglu(const Var& a, const Var& b) {
  const Tensor A = a.value(), B = b.value();
  RMOE_CHECK(A.shape() == B.shape(), "swiglu: b ", B.shape(), " does not fit a ", A.shape());
  const int64_t n = A.numel();

  const Tensor y = empty_like(A);
  DISPATCH(A, swiglu_fwd, y, A, B, n);
  return record("swiglu", y, {a, b}, [=](const Tensor& dy, Grads& d) {
    const auto [da, beta_a] = d.wants(0) ? d.place(0) : Place{};
    const auto [db, beta_b] = d.wants(1) ? d.place(1) : Place{};
    DISPATCH(A, swiglu_bwd, da, db, dy, A, B, n, beta_a, beta_b);
  });
}

}  // namespace rmoe
