// Rows to experts and back: one warp per row, 16 bytes per lane where the width allows it, because these
// kernels move memory and do little else. Every output has one writer that gathers, so the order of its sum
// is fixed. Rows behind the last expert's, which a capacity may leave, belong to assignment -1 and are zero.
#include "engine/cuda/rows.cuh"
#include "ops/expert_dispatch/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// to_m = beta to_m + w_i from_n for the assignment i of row m and its token n; all w_i are 1 if w is null.
template <int kWidth, class T>
void scatter_rows(T* to, const T* from, const float* w, const int32_t* assignment, int64_t M, int K,
                  int64_t C, float beta) {
  for_each_row(M, [=] ON_DEVICE(int64_t m, int lane) {
    const int32_t i = assignment[m];  // for none, the row of token 0 is read and not used
    const float weight = i >= 0 && w ? w[i] : 1.0f;
    const auto weighted = [=](float x) { return i >= 0 ? weight * x : 0.0f; };
    map_row<kWidth>(to + m * C, C, lane, beta, weighted, from + max(i, 0) / K * C);
  });
}

/// to_n = beta to_n + sum_k w_nk from_slot(n,k) over the slots that are not -1; all w_nk are 1 if w is null.
template <int kWidth, class T>
void gather_rows(T* to, const T* from, const float* w, const int32_t* slot, int64_t N, int K, int64_t C,
                 float beta) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    for (int64_t c = lane * kWidth; c < C; c += kLanes * kWidth) {
      float sum[kWidth] = {};
      for (int k = 0; k < K; ++k) {
        const int32_t row = slot[n * K + k];
        if (row < 0) continue;
        const float weight = w ? w[n * K + k] : 1.0f;
        const Pack<T, kWidth> pack = load<kWidth>(from + row * C + c);
        UNROLL for (int j = 0; j < kWidth; ++j) sum[j] += weight * to_float(pack.at[j]);
      }
      Pack<T, kWidth> out;
      if (beta != 0.0f) out = load<kWidth>(to + n * C + c);
      UNROLL for (int j = 0; j < kWidth; ++j) put(out.at[j], sum[j], beta);
      store(to + n * C + c, out);
    }
  });
}

/// dw_i = beta dw_i + <dout_n, y_slot(i)>
template <int kWidth, class T>
void dot_rows(float* dw, const T* dout, const T* y, const int32_t* slot, int64_t assignments, int K,
              int64_t C, float beta) {
  for_each_row(assignments, [=] ON_DEVICE(int64_t i, int lane) {
    const int32_t row = slot[i];
    const auto product = [](float a, float b) { return a * b; };
    const float dot =
        row < 0 ? 0.0f : sum_over_row<kWidth>(C, lane, product, dout + int32_t(i) / K * C, y + row * C);
    if (lane == 0) put(dw[i], dot, beta);
  });
}

template <class T>
void scatter(T* to, const T* from, const float* w, const int32_t* assignment, int64_t M, int64_t K, int64_t C,
             double beta) {
  using Element = typename OnDevice<T>::type;
  const auto run = in_packs(C, to, from) ? scatter_rows<widest_pack<T>(), Element> : scatter_rows<1, Element>;
  run(device_pointer(to), device_pointer(from), w, assignment, M, int(K), C, float(beta));
}

template <class T>
void gather(T* to, const T* from, const float* w, const int32_t* slot, int64_t N, int64_t K, int64_t C,
            double beta) {
  using Element = typename OnDevice<T>::type;
  const auto run = in_packs(C, to, from) ? gather_rows<widest_pack<T>(), Element> : gather_rows<1, Element>;
  run(device_pointer(to), device_pointer(from), w, slot, N, int(K), C, float(beta));
}

}  // namespace

template <class T>
void expert_dispatch_fwd(T* y, const T* x, const int32_t* assignment, int64_t M, int64_t K, int64_t C) {
  scatter(y, x, nullptr, assignment, M, K, C, 0);
}

template <class T>
void expert_dispatch_bwd(T* dx, const T* dy, const int32_t* slot, int64_t N, int64_t K, int64_t C,
                         double beta) {
  gather(dx, dy, nullptr, slot, N, K, C, beta);
}

template <class T>
void expert_combine_fwd(T* out, const T* y, const acc_t<T>* w, const int32_t* slot, int64_t N, int64_t K,
                        int64_t C) {
  gather(out, y, w, slot, N, K, C, 0);
}

template <class T>
void expert_combine_bwd_y(T* dy, const T* dout, const acc_t<T>* w, const int32_t* assignment, int64_t M,
                          int64_t K, int64_t C, double beta) {
  scatter(dy, dout, w, assignment, M, K, C, beta);
}

template <class T>
void expert_combine_bwd_w(acc_t<T>* dw, const T* dout, const T* y, const int32_t* slot, int64_t N, int64_t K,
                          int64_t C, double beta) {
  using Element = typename OnDevice<T>::type;
  const auto run = in_packs(C, dout, y) ? dot_rows<widest_pack<T>(), Element> : dot_rows<1, Element>;
  run(dw, device_pointer(dout), device_pointer(y), slot, N * K, int(K), C, float(beta));
}

#define RMOE_INSTANTIATE(T)                                                                              \
  template void expert_dispatch_fwd<T>(T*, const T*, const int32_t*, int64_t, int64_t, int64_t);         \
  template void expert_dispatch_bwd<T>(T*, const T*, const int32_t*, int64_t, int64_t, int64_t, double); \
  template void expert_combine_fwd<T>(T*, const T*, const acc_t<T>*, const int32_t*, int64_t, int64_t,   \
                                      int64_t);                                                          \
  template void expert_combine_bwd_y<T>(T*, const T*, const acc_t<T>*, const int32_t*, int64_t, int64_t, \
                                        int64_t, double);                                                \
  template void expert_combine_bwd_w<T>(acc_t<T>*, const T*, const T*, const int32_t*, int64_t, int64_t, \
                                        int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
