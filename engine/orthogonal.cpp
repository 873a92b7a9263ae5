#include "engine/orthogonal.hpp"

#include "engine/random.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace rmoe {
namespace {

/// Takes out of v what lies along u, a unit vector.
void remove_component(double* v, const double* u, int64_t n) {
  const double along = std::inner_product(v, v + n, u, 0.0);
  for (int64_t i = 0; i < n; ++i) v[i] -= along * u[i];
}

/// The rows of q [m,n], m <= n, become orthonormal. Each is cleaned twice: once leaves rounding behind.
void orthonormalise(std::vector<double>& q, int64_t m, int64_t n) {
  for (int64_t r = 0; r < m; ++r) {
    double* row = q.data() + r * n;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t before = 0; before < r; ++before) remove_component(row, q.data() + before * n, n);
    const double norm = std::sqrt(std::inner_product(row, row + n, row, 0.0));
    for (int64_t i = 0; i < n; ++i) row[i] /= norm;
  }
}

}  // namespace

void fill_orthogonal(const Tensor& dst, double gain, uint64_t seed, uint64_t stream) {
  RMOE_CHECK(dst.rank() == 2, "fill_orthogonal: ", dst.shape(), " is not a matrix");
  if (dst.device() == Device::meta) return;
  const int64_t R = dst.dim(0), C = dst.dim(1), m = std::min(R, C), n = std::max(R, C);
  const Tensor normal = empty({m, n}, DType::f64);
  fill_normal(normal, 0, 1, seed, stream);
  std::vector<double> q(normal.data<double>(), normal.data<double>() + m * n);
  orthonormalise(q, m, n);
  const Tensor values = empty({R, C}, DType::f64);
  for (int64_t r = 0; r < R; ++r)
    for (int64_t c = 0; c < C; ++c)
      values.data<double>()[r * C + c] = gain * (R <= C ? q[r * n + c] : q[c * n + r]);
  copy(dst, to(values, dst.dtype()));
}

}  // namespace rmoe
