#include "engine/cuda/kernel_types.cuh"
#include "ops/causal_attention/plain.cuh"

namespace rmoe::cuda {

template <class T>
void causal_attention_fwd(T* o, acc_t<T>* lse, const T* q, const T* k, const T* v, const CausalSizes& n) {
  plain::causal_fwd(device_pointer(o), lse, device_pointer(q), device_pointer(k), device_pointer(v), n);
}

template <class T>
void causal_attention_bwd(T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* o,
                          const acc_t<T>* lse, const CausalSizes& n) {
  plain::causal_bwd(device_pointer(dq), device_pointer(dk), device_pointer(dv), device_pointer(dy),
                    device_pointer(q), device_pointer(k), device_pointer(v), device_pointer(o), lse, n);
}

#define RMOE_INSTANTIATE(T)                                                                               \
  template void causal_attention_fwd<T>(T*, acc_t<T>*, const T*, const T*, const T*, const CausalSizes&); \
  template void causal_attention_bwd<T>(T*, T*, T*, const T*, const T*, const T*, const T*, const T*,     \
                                        const acc_t<T>*, const CausalSizes&);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
