#include "engine/map.hpp"
#include "engine/math.hpp"
#include "ops/swiglu/kernels.hpp"

namespace rmoe::cpu {

template <class T>
void swiglu_fwd(T* y, const T* a, const T* b, int64_t n) {
  map_into(y, n, 0, [=](int64_t i) { return a[i] * math::sigmoid(a[i]) * b[i]; });
}

// Both gradients of one chunk before the next, so that the second finds dy and a in the cache.
template <class T>
void swiglu_bwd(T* da, T* db, const T* dy, const T* a, const T* b, int64_t n, double beta_a, double beta_b) {
  constexpr int64_t kChunk = 4096;
  parallel_chunks(n, kChunk, [=](int64_t begin, int64_t end) {
    const T *dyc = dy + begin, *ac = a + begin, *bc = b + begin;
    if (da)
      map_into(da + begin, end - begin, beta_a, [=](int64_t i) {
        const T s = math::sigmoid(ac[i]);
        return dyc[i] * bc[i] * s * (T(1) + ac[i] * (T(1) - s));
      });
    if (db)
      map_into(db + begin, end - begin, beta_b,
               [=](int64_t i) { return dyc[i] * ac[i] * math::sigmoid(ac[i]); });
  });
}

#define RMOE_INSTANTIATE(T)                                     \
  template void swiglu_fwd<T>(T*, const T*, const T*, int64_t); \
  template void swiglu_bwd<T>(T*, T*, const T*, const T*, const T*, int64_t, double, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
