#include "engine/math.hpp"
#include "engine/parallel.hpp"
#include "ops/z_loss/kernels.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe::cpu {
namespace {

constexpr int64_t kRows = 64;

template <class T>
double log_sum_exp(const T* x, int64_t E) {
  const T most = *std::max_element(x, x + E);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t e = 0; e < E; ++e) sum += math::exp(x[e] - most);
  return double(most) + std::log(double(sum));
}

}  // namespace

template <class T>
void z_loss_fwd(acc_t<T>* loss, double* lse, const T* logits, int64_t N, int64_t E) {
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) lse[n] = log_sum_exp(logits + n * E, E);
  });
  double sum = 0;
  for (int64_t n = 0; n < N; ++n) sum += lse[n] * lse[n];
  *loss = N == 0 ? T(0) : T(sum / double(N));
}

template <class T>
void z_loss_bwd(T* dlogits, const acc_t<T>* dloss, const T* logits, const double* lse, int64_t N, int64_t E,
                double beta) {
  const double scale = 2 * double(*dloss) / double(std::max<int64_t>(N, 1));
  parallel_chunks(N, kRows, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T weight = T(scale * lse[n]), shift = T(lse[n]);
      const T* x = logits + n * E;
      T* dx = dlogits + n * E;
#pragma omp simd
      for (int64_t e = 0; e < E; ++e) {
        const T g = weight * math::exp(x[e] - shift);
        dx[e] = beta == 0 ? g : T(beta) * dx[e] + g;
      }
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                    \
  template void z_loss_fwd<T>(acc_t<T>*, double*, const T*, int64_t, int64_t); \
  template void z_loss_bwd<T>(T*, const acc_t<T>*, const T*, const double*, int64_t, int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
