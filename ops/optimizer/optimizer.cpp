#include "ops/optimizer/optimizer.hpp"

#include "engine/dispatch.hpp"
#include "engine/profile.hpp"
#include "ops/optimizer/kernels.hpp"

#include <cmath>

namespace rmoe {
namespace {

void check_fits(const char* what, const Tensor& t, const AdamParameter& p, DType dtype) {
  RMOE_CHECK(t.defined() && t.shape() == p.value.shape(), "adam_step: ", what, " ", t.shape(),
             " does not fit param ", p.value.shape());
  RMOE_CHECK(t.dtype() == dtype, "adam_step: ", what, " is ", t.dtype(), ", wanted ", dtype,
             " for a param of ", p.value.dtype());
}

AdamSpan span_of(const AdamParameter& p, const AdamOptions& options, DType dtype) {
  check_fits("param", p.value, p, dtype);
  check_fits("grad", p.grad, p, dtype);
  check_fits("m", p.m, p, dtype);
  check_fits("v", p.v, p, dtype);
  if (p.rounded) check_fits("rounded", p.rounded, p, DType::bf16);
  return {.p = p.value.raw(),
          .m = p.m.raw(),
          .v = p.v.raw(),
          .g = p.grad.raw(),
          .rounded = p.rounded ? p.rounded.data<bf16>() : nullptr,
          .n = p.value.numel(),
          .l2 = options.decoupled ? 0 : p.weight_decay,
          .keep = options.decoupled ? 1 - options.lr * p.weight_decay : 1};
}

double bytes_moved(const AdamParameter& p) {
  return 2.0 * p.value.bytes() + p.grad.bytes() + 2.0 * (p.m.bytes() + p.v.bytes()) +
         (p.rounded ? p.rounded.bytes() : 0);
}

}  // namespace

void adam_step(const std::vector<AdamParameter>& parameters, const AdamOptions& options, int64_t step,
               const Tensor& grad_scale) {
  RMOE_CHECK(step >= 1, "adam_step: step ", step, ", wanted 1 or more");
  if (parameters.empty()) return;
  const Tensor& first = parameters[0].value;
  std::vector<AdamSpan> spans;
  double bytes = 0;
  for (const AdamParameter& p : parameters) {
    spans.push_back(span_of(p, options, first.dtype()));
    bytes += bytes_moved(p);
  }
  const AdamFactors factors{.beta1 = options.beta1,
                            .beta2 = options.beta2,
                            .step = options.lr / (1 - std::pow(options.beta1, double(step))),
                            .root = 1 / std::sqrt(1 - std::pow(options.beta2, double(step))),
                            .eps = options.eps};
  DISPATCH(first, adam_step, spans.data(), int64_t(spans.size()), factors, grad_scale);
  profile::mark("adam_step", profile::Pass::update, bytes);
}

}  // namespace rmoe
