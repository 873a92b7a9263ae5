#include "engine/error.hpp"
#include "engine/gemm.hpp"
#include "engine/reduce.hpp"
#include "ops/grouped_linear/kernels.hpp"

namespace rmoe::cpu {

template <class T>
void grouped_linear_fwd(T* y, const T* x, const T* w, const T* b, const int32_t* offsets, int64_t M,
                        int64_t E, int64_t F, int64_t C) {
  RMOE_CHECK(offsets[E] == M, "grouped_linear: offsets end at ", offsets[E], ", x has ", M, " rows");
  gemm_grouped<T>(E, offsets, Trans::yes, F, C, x, w, T(0), y, b);
}

template <class T>
void grouped_linear_bwd_x(T* dx, const T* dy, const T* w, const int32_t* offsets, int64_t /*M*/, int64_t E,
                          int64_t F, int64_t C, double beta) {
  gemm_grouped<T>(E, offsets, Trans::no, C, F, dy, w, T(beta), dx);
}

template <class T>
void grouped_linear_bwd_w(acc_t<T>* dw, const T* dy, const T* x, const int32_t* offsets, int64_t E, int64_t F,
                          int64_t C, double beta) {
  gemm_grouped_reduce<T>(E, offsets, F, C, dy, x, T(beta), dw);
}

template <class T>
void grouped_linear_bwd_b(acc_t<T>* db, const T* dy, const int32_t* offsets, int64_t E, int64_t F,
                          double beta) {
  parallel_for(E, [=](int64_t e) {
    sum_rows<T>(offsets[e + 1] - offsets[e], F, db + e * F, T(beta), dy + offsets[e] * F);
  });
}

#define RMOE_INSTANTIATE(T)                                                                                \
  template void grouped_linear_fwd<T>(T*, const T*, const T*, const T*, const int32_t*, int64_t, int64_t,  \
                                      int64_t, int64_t);                                                   \
  template void grouped_linear_bwd_x<T>(T*, const T*, const T*, const int32_t*, int64_t, int64_t, int64_t, \
                                        int64_t, double);                                                  \
  template void grouped_linear_bwd_w<T>(T*, const T*, const T*, const int32_t*, int64_t, int64_t, int64_t, \
                                        double);                                                           \
  template void grouped_linear_bwd_b<T>(T*, const T*, const int32_t*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
