// A warp takes a token; exponentials and their sum are fp32, the rest, one number for each token, double.
// fp32 only: a router is never bf16.
#include "engine/cuda/rows.cuh"
#include "engine/cuda/sum.cuh"
#include "ops/z_loss/kernels.hpp"

namespace rmoe::cuda {

template <class T>
void z_loss_fwd(acc_t<T>* loss, double* lse, const T* logits, int64_t N, int64_t E) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const float* x = logits + n * E;
    const float most = max_over_row(x, E, lane);
    const float sum = sum_over_row<1>(
        E, lane, [=](float value) { return expf(value - most); }, x);
    if (lane == 0) lse[n] = double(most) + log(double(sum));
  });
  const double share = N == 0 ? 0.0 : 1.0 / double(N);
  sum_all(
      N, [=] ON_DEVICE(int64_t n) { return lse[n] * lse[n]; },
      [=] ON_DEVICE(double sum) { *loss = float(share * sum); });
}

template <class T>
void z_loss_bwd(T* dlogits, const acc_t<T>* dloss, const T* logits, const double* lse, int64_t N, int64_t E,
                double beta) {
  const double share = N == 0 ? 0.0 : 2.0 / double(N);
  const float kept = float(beta);
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const float weight = float(share * double(*dloss) * lse[n]), shift = float(lse[n]);
    map_row<1>(
        dlogits + n * E, E, lane, kept, [=](float value) { return weight * expf(value - shift); },
        logits + n * E);
  });
}

template void z_loss_fwd<float>(float*, double*, const float*, int64_t, int64_t);
template void z_loss_bwd<float>(float*, const float*, const float*, const double*, int64_t, int64_t, double);

}  // namespace rmoe::cuda
