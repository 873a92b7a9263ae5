#include "ops/grad_norm/grad_norm.hpp"

#include "engine/dispatch.hpp"
#include "engine/profile.hpp"
#include "engine/readback.hpp"
#include "ops/grad_norm/kernels.hpp"

#include <cmath>

namespace rmoe {

double global_norm(const std::vector<Tensor>& grads) {
  std::vector<Tensor> sums;
  for (const Tensor& g : grads) {
    if (!g || g.device() == Device::meta) continue;
    const Tensor sum = empty_like(g, {}, DType::f64);
    DISPATCH(g, grad_norm_squares, sum, g, g.numel());
    sums.push_back(sum);
    profile::mark("global_norm", profile::Pass::update, double(g.bytes()));
  }
  double squares = 0;
  for (const double sum : read_all(sums)) squares += sum;
  return std::sqrt(squares);
}

double clip_scale(double norm, double max_norm) {
  RMOE_CHECK(max_norm >= 0, "clip_scale: max_norm ", max_norm, ", wanted 0 (off) or more");
  return max_norm == 0 || norm <= max_norm ? 1 : max_norm / norm;
}

}  // namespace rmoe
