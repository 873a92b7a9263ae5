#include "engine/cuda/map.cuh"
#include "engine/cuda/math.cuh"
#include "ops/swiglu/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void swiglu_fwd(T* y, const T* a, const T* b, int64_t n) {
  map_into(
      y, n, 0, [] ON_DEVICE(float gate, float up) { return gate * sigmoid(gate) * up; }, a, b);
}

template <class T>
void swiglu_bwd(T* da, T* db, const T* dy, const T* a, const T* b, int64_t n, double beta_a, double beta_b) {
  const auto of_gate = [] ON_DEVICE(float g, float gate, float up) {
    const float s = sigmoid(gate);
    return g * up * s * (1.0f + gate * (1.0f - s));
  };
  const auto of_up = [] ON_DEVICE(float g, float gate) { return g * gate * sigmoid(gate); };
  if (da) map_into(da, n, beta_a, of_gate, dy, a, b);
  if (db) map_into(db, n, beta_b, of_up, dy, a);
}

#define RMOE_INSTANTIATE(T)                                     \
  template void swiglu_fwd<T>(T*, const T*, const T*, int64_t); \
  template void swiglu_bwd<T>(T*, T*, const T*, const T*, const T*, int64_t, double, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
