#include "engine/parallel.hpp"
#include "ops/optimizer/kernels.hpp"

#include <cmath>

namespace rmoe::cpu {
namespace {

template <class T>
void step_of(const AdamSpan& span, const AdamFactors& f, T scale) {
  constexpr int64_t kChunk = 1 << 14;
  T *p = static_cast<T*>(span.p), *m = static_cast<T*>(span.m), *v = static_cast<T*>(span.v);
  const T* g = static_cast<const T*>(span.g);
  bf16* rounded = span.rounded;
  const T l2 = T(span.l2), keep = T(span.keep), eps = T(f.eps), step = T(f.step), root = T(f.root);
  const T beta1 = T(f.beta1), beta2 = T(f.beta2), rest1 = T(1 - f.beta1), rest2 = T(1 - f.beta2);
  parallel_chunks(span.n, kChunk, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const T gradient = scale * g[i] + l2 * p[i];
      m[i] = beta1 * m[i] + rest1 * gradient;
      v[i] = beta2 * v[i] + rest2 * gradient * gradient;
      p[i] = keep * p[i] - step * m[i] / (root * std::sqrt(v[i]) + eps);
    }
    if (!rounded) return;
    for (int64_t i = begin; i < end; ++i) rounded[i] = bf16(float(p[i]));
  });
}

}  // namespace

template <class T>
void adam_step(const AdamSpan* spans, int64_t count, const AdamFactors& factors, const double* grad_scale) {
  for (int64_t i = 0; i < count; ++i) step_of(spans[i], factors, T(*grad_scale));
}

template void adam_step<float>(const AdamSpan*, int64_t, const AdamFactors&, const double*);
template void adam_step<double>(const AdamSpan*, int64_t, const AdamFactors&, const double*);

}  // namespace rmoe::cpu
