// All parameters in one launch (or few). Their fp32 values, moments and gradients are read and written once,
// and the bf16 copies written on the way.
#include "engine/cuda/kernel_types.cuh"
#include "engine/cuda/many.cuh"
#include "ops/optimizer/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// The factors as the kernel wants them.
struct Factors {
  float beta1, rest1, beta2, rest2, step, root, eps;
};

}  // namespace

template <class T>
void adam_step(const AdamSpan* spans, int64_t count, const AdamFactors& factors, const double* grad_scale) {
  const Factors f{float(factors.beta1),     float(1 - factors.beta1), float(factors.beta2),
                  float(1 - factors.beta2), float(factors.step),      float(factors.root),
                  float(factors.eps)};
  for_each_chunk(spans, count, [=] ON_DEVICE(const AdamSpan& span, int64_t begin, int64_t end, int64_t) {
    float *p = static_cast<float*>(span.p), *m = static_cast<float*>(span.m),
          *v = static_cast<float*>(span.v);
    const float* g = static_cast<const float*>(span.g);
    __nv_bfloat16* rounded = reinterpret_cast<__nv_bfloat16*>(span.rounded);
    const float scale = float(*grad_scale), l2 = float(span.l2), keep = float(span.keep);
    for (int64_t i = begin + threadIdx.x; i < end; i += kChunkThreads) {
      const float gradient = scale * g[i] + l2 * p[i];
      const float mean = f.beta1 * m[i] + f.rest1 * gradient;
      const float square = f.beta2 * v[i] + f.rest2 * gradient * gradient;
      const float value = keep * p[i] - f.step * mean / (f.root * sqrtf(square) + f.eps);
      m[i] = mean;
      v[i] = square;
      p[i] = value;
      if (rounded) rounded[i] = from_float<__nv_bfloat16>(value);
    }
  });
}

template void adam_step<float>(const AdamSpan*, int64_t, const AdamFactors&, const double*);

}  // namespace rmoe::cuda
