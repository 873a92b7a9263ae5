#include "ops/grad_norm/grad_norm.hpp"

#include "engine/dispatch.hpp"
#include "engine/profile.hpp"
#include "ops/grad_norm/kernels.hpp"

namespace rmoe {

Tensor global_norm(const std::vector<Tensor>& grads) {
  std::vector<GradSpan> spans;
  Tensor like;
  double bytes = 0;
  for (const Tensor& g : grads) {
    if (!g) continue;
    RMOE_CHECK(!like || (g.dtype() == like.dtype() && g.device() == like.device()),
               "global_norm: a gradient is ", g.dtype(), " on ", g.device(), ", another ", like.dtype(),
               " on ", like.device());
    like = g;
    spans.push_back({g.raw(), g.numel()});
    bytes += double(g.bytes());
  }
  if (!like) return zeros({}, DType::f64);
  const Tensor norm = empty_like(like, {}, DType::f64);
  DISPATCH(like, grad_norm_fwd, norm, spans.data(), int64_t(spans.size()));
  profile::mark("global_norm", profile::Pass::update, bytes);
  return norm;
}

Tensor joined_norm(const Tensor& norms) {
  RMOE_CHECK(norms.dtype() == DType::f64, "joined_norm: norms are ", norms.dtype(), ", not f64");
  const Tensor norm = empty_like(norms, {});
  DISPATCH_INTEGER(norms, joined_norm_fwd, norm, norms, norms.numel());
  return norm;
}

Tensor clip_scale(const Tensor& norm, double max_norm) {
  RMOE_CHECK(max_norm >= 0, "clip_scale: max_norm ", max_norm, ", wanted 0 (off) or more");
  const Tensor scale = empty_like(norm);
  DISPATCH_INTEGER(norm, clip_scale_fwd, scale, norm, max_norm);
  return scale;
}

}  // namespace rmoe
