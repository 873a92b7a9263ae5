#include "ops/optimizer/optimizer.hpp"

#include "engine/dispatch.hpp"
#include "engine/profile.hpp"
#include "ops/optimizer/kernels.hpp"

#include <cmath>

namespace rmoe {
namespace {

void check_fits(const char* what, const Tensor& t, const Tensor& param) {
  RMOE_CHECK(t.defined() && t.shape() == param.shape(), "adam_step: ", what, " ", t.shape(),
             " does not fit param ", param.shape());
  RMOE_CHECK(t.dtype() == acc_type(param.dtype()), "adam_step: ", what, " is ", t.dtype(), ", wanted ",
             acc_type(param.dtype()), " for a param of ", param.dtype());
}

}  // namespace

void adam_step(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v,
               const AdamOptions& options, int64_t step, double grad_scale) {
  check_fits("grad", grad, param);
  check_fits("m", m, param);
  check_fits("v", v, param);
  RMOE_CHECK(step >= 1, "adam_step: step ", step, ", wanted 1 or more");
  const auto& [lr, beta1, beta2, eps, weight_decay, decoupled] = options;
  const AdamFactors factors{
      .grad = grad_scale,
      .l2 = decoupled ? 0 : weight_decay,
      .keep = decoupled ? 1 - lr * weight_decay : 1,
      .beta1 = beta1,
      .beta2 = beta2,
      .step = lr / (1 - std::pow(beta1, double(step))),
      .root = 1 / std::sqrt(1 - std::pow(beta2, double(step))),
      .eps = eps,
  };
  DISPATCH(param, adam_step, param, m, v, grad, param.numel(), factors);
  profile::mark("adam_step", profile::Pass::update,
                2.0 * param.bytes() + grad.bytes() + 2.0 * (m.bytes() + v.bytes()));
}

}  // namespace rmoe
