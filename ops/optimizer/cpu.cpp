#include "engine/parallel.hpp"
#include "ops/optimizer/kernels.hpp"

#include <cmath>

namespace rmoe::cpu {

template <class T>
void adam_step(T* p, acc_t<T>* m, acc_t<T>* v, const acc_t<T>* g, int64_t n, const AdamFactors& factors) {
  constexpr int64_t kChunk = 1 << 14;
  const AdamFactors& f = factors;
  const T scale = T(f.grad), l2 = T(f.l2), keep = T(f.keep), eps = T(f.eps), step = T(f.step),
          root = T(f.root);
  const T beta1 = T(f.beta1), beta2 = T(f.beta2), rest1 = T(1 - f.beta1), rest2 = T(1 - f.beta2);
  parallel_chunks(n, kChunk, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const T gradient = scale * g[i] + l2 * p[i];
      m[i] = beta1 * m[i] + rest1 * gradient;
      v[i] = beta2 * v[i] + rest2 * gradient * gradient;
      p[i] = keep * p[i] - step * m[i] / (root * std::sqrt(v[i]) + eps);
    }
  });
}

#define RMOE_INSTANTIATE(T) \
  template void adam_step<T>(T*, acc_t<T>*, acc_t<T>*, const acc_t<T>*, int64_t, const AdamFactors&);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
