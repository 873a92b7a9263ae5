#include "ops/concat/concat.hpp"

#include "engine/dispatch.hpp"
#include "ops/concat/kernels.hpp"

namespace rmoe {

Var concat_time(const Var& a, const Var& b) {
  const Tensor A = a.value(), X = b.value();
  RMOE_CHECK(A.rank() == 3 && X.rank() == 3 && A.dim(0) == X.dim(0) && A.dim(2) == X.dim(2),
             "concat_time: b ", X.shape(), " does not fit a ", A.shape());
  const int64_t B = A.dim(0), S = A.dim(1), T = X.dim(1), C = A.dim(2);

  const Tensor y = empty_like(A, {B, S + T, C});
  DISPATCH(A, concat_time_fwd, y, A, X, B, S, T, C);
  return record("concat_time", y, {a, b}, [=](const Tensor& dy, Grads& d) {
    if (d.wants(0)) {
      const auto [da, beta] = d.place(0);
      DISPATCH(dy, concat_time_bwd, da, dy, B, S, S + T, int64_t{0}, C, beta);
    }
    if (d.wants(1)) {
      const auto [db, beta] = d.place(1);
      DISPATCH(dy, concat_time_bwd, db, dy, B, T, S + T, S, C, beta);
    }
  });
}

}  // namespace rmoe
