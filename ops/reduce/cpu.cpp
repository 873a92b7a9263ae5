#include "engine/map.hpp"
#include "engine/reduce.hpp"
#include "ops/reduce/kernels.hpp"

namespace rmoe::cpu {

template <class T>
void sum_fwd(acc_t<T>* y, const T* x, int64_t n, double s) {
  double total = 0;
  reduce_rows<double>(n, 1, &total, 0, [=](int64_t begin, int64_t end, double* partial) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += double(x[i]);
    *partial = sum;
  });
  *y = acc_t<T>(s * total);
}

template <class T>
void sum_bwd(T* dx, const acc_t<T>* dy, int64_t n, double s, double beta) {
  const T g = T(s * *dy);
  map_into(dx, n, beta, [=](int64_t) { return g; });
}

#define RMOE_INSTANTIATE(T)                                       \
  template void sum_fwd<T>(acc_t<T>*, const T*, int64_t, double); \
  template void sum_bwd<T>(T*, const T*, int64_t, double, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
