#include "ops/matmul/matmul.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "ops/matmul/kernels.hpp"

#include <algorithm>

namespace rmoe {
namespace {

bool fits(const Tensor& a, const Tensor& b) {
  return a.rank() >= 2 && a.rank() == b.rank() && a.dim(-1) == b.dim(-2) &&
         std::equal(a.shape().begin(), a.shape().end() - 2, b.shape().begin());
}

}  // namespace

Var matmul(const Var& a, const Var& b) {
  const Tensor A = a.value(), B = b.value();
  RMOE_CHECK(fits(A, B), "matmul: b ", B.shape(), " does not fit a ", A.shape());
  const int64_t M = A.dim(-2), K = A.dim(-1), N = B.dim(-1);
  const Tensor y = empty_like(A, A.shape().with(-1, N));  // [...,M,N]
  int64_t batch = 1;
  for (int i = 0; i < A.rank() - 2; ++i) batch *= A.dim(i);

  const double flops = 2.0 * batch * M * N * K;
  count_flops(flops);
  DISPATCH(A, matmul_fwd, y, A, B, batch, M, N, K);
  return record("matmul", y, {a, b}, [=](const Tensor& dy, Grads& d) {
    if (d.wants(0)) {
      const auto [da, beta] = d.place(0);
      count_flops(flops);
      DISPATCH(A, matmul_bwd_a, da, dy, B, batch, M, N, K, beta);
    }
    if (d.wants(1)) {
      const auto [db, beta] = d.place(1);
      count_flops(flops);
      DISPATCH(A, matmul_bwd_b, db, dy, A, batch, M, N, K, beta);
    }
  });
}

}  // namespace rmoe
