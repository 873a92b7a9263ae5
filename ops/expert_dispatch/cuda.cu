// Rows to experts and back: one warp per row, 16 bytes per lane where the width allows it, because these
// kernels move memory and do little else. Every output has one writer that gathers, so the order of its sum
// is fixed. Rows behind the last expert's, which a capacity may leave, belong to assignment -1 and are zero.
#include "engine/cuda/context.hpp"
#include "engine/cuda/pack.cuh"
#include "engine/cuda/warp.cuh"
#include "ops/expert_dispatch/kernels.hpp"

namespace rmoe::cuda {
namespace {

constexpr int kRowsPerBlock = 8;

int blocks_for(int64_t rows) { return int((rows + kRowsPerBlock - 1) / kRowsPerBlock); }

DEVICE int64_t row_of_warp() { return int64_t(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes; }

template <int kWidth>
struct Width {};

template <int kWidth, class F>
__global__ void __launch_bounds__(kRowsPerBlock* kLanes) rows_kernel(int64_t rows, int C, F f) {
  const int64_t row = row_of_warp();
  if (row >= rows) return;
  for (int c = threadIdx.x % kLanes * kWidth; c < C; c += kLanes * kWidth) f(Width<kWidth>{}, row, c);
}

/// Calls f(Width<w>, row, c) for the w elements from c on, for all of rows x C; w is 1 unless `packed`.
template <class E, class F>
void for_each_row(bool packed, int64_t rows, int C, F f) {
  if (rows == 0) return;
  if (packed)
    LAUNCH((rows_kernel<kWidestPack<E>, F>), blocks_for(rows), kRowsPerBlock * kLanes, 0, stream(), rows, C,
           f);
  else
    LAUNCH((rows_kernel<1, F>), blocks_for(rows), kRowsPerBlock * kLanes, 0, stream(), rows, C, f);
}

/// to = beta to + factor from, or beta to where `from` is null.
template <int kWidth, class E>
DEVICE void put_scaled(Width<kWidth>, E* to, const E* from, float factor, float beta) {
  Pack<E, kWidth> pack = {}, values = {};
  if (beta != 0.0f) pack = load_pack<kWidth>(to);
  if (from) values = load_pack<kWidth>(from);
  UNROLL for (int i = 0; i < kWidth; ++i) put(pack.values[i], factor * to_float(values.values[i]), beta);
  store_pack(to, pack);
}

/// to = beta to + sum_k w_k rows_{slot_k, c} over the slots that are not -1; all w_k are 1 if w is null.
template <int kWidth, class E>
DEVICE void put_sum(Width<kWidth>, E* to, const E* rows, const float* w, const int32_t* slot, int K,
                    int64_t C, int c, float beta) {
  float sum[kWidth] = {};
  for (int k = 0; k < K; ++k) {
    if (slot[k] < 0) continue;
    const float weight = w ? w[k] : 1.0f;
    const Pack<E, kWidth> pack = load_pack<kWidth>(rows + slot[k] * C + c);
    UNROLL for (int i = 0; i < kWidth; ++i) sum[i] += weight * to_float(pack.values[i]);
  }
  Pack<E, kWidth> pack = {};
  if (beta != 0.0f) pack = load_pack<kWidth>(to);
  UNROLL for (int i = 0; i < kWidth; ++i) put(pack.values[i], sum[i], beta);
  store_pack(to, pack);
}

// dw_i = <dout_token, y_slot>, one warp per assignment i
template <class E, int kWidth>
__global__ void __launch_bounds__(kRowsPerBlock* kLanes)
    combine_bwd_w_kernel(float* dw, const E* dout, const E* y, const int32_t* slot, int assignments, int K,
                         int C, float beta) {
  const int i = int(row_of_warp());
  if (i >= assignments) return;
  const int lane = threadIdx.x % kLanes;
  float dot = 0.0f;
  if (slot[i] >= 0)
    for (int c = lane * kWidth; c < C; c += kLanes * kWidth) {
      const Pack<E, kWidth> a = load_pack<kWidth>(dout + int64_t(i / K) * C + c),
                            b = load_pack<kWidth>(y + int64_t(slot[i]) * C + c);
      UNROLL for (int j = 0; j < kWidth; ++j) dot += to_float(a.values[j]) * to_float(b.values[j]);
    }
  dot = warp_reduce<Sum>(dot);
  if (lane == 0) put(dw[i], dot, beta);
}

}  // namespace

template <class T>
void expert_dispatch_fwd(T* y, const T* x, const int32_t* assignment, int64_t M, int64_t K, int64_t C) {
  using E = typename OnDevice<T>::type;
  auto* out = device_pointer(y);
  const auto* in = device_pointer(x);
  const int top_k = int(K);
  for_each_row<E>(in_packs<E>(C, y, x), M, int(C), [=] ON_DEVICE(auto width, int64_t m, int c) {
    const int32_t i = assignment[m];
    put_scaled(width, out + m * C + c, i < 0 ? nullptr : in + i / top_k * C + c, 1.0f, 0.0f);
  });
}

template <class T>
void expert_dispatch_bwd(T* dx, const T* dy, const int32_t* slot, int64_t N, int64_t K, int64_t C,
                         double beta) {
  using E = typename OnDevice<T>::type;
  auto* out = device_pointer(dx);
  const auto* in = device_pointer(dy);
  const float kept = float(beta);
  const int top_k = int(K);
  for_each_row<E>(in_packs<E>(C, dx, dy), N, int(C), [=] ON_DEVICE(auto width, int64_t n, int c) {
    put_sum(width, out + n * C + c, in, nullptr, slot + n * top_k, top_k, C, c, kept);
  });
}

template <class T>
void expert_combine_fwd(T* out, const T* y, const acc_t<T>* w, const int32_t* slot, int64_t N, int64_t K,
                        int64_t C) {
  using E = typename OnDevice<T>::type;
  auto* sums = device_pointer(out);
  const auto* in = device_pointer(y);
  const int top_k = int(K);
  for_each_row<E>(in_packs<E>(C, out, y), N, int(C), [=] ON_DEVICE(auto width, int64_t n, int c) {
    put_sum(width, sums + n * C + c, in, w + n * top_k, slot + n * top_k, top_k, C, c, 0.0f);
  });
}

template <class T>
void expert_combine_bwd_y(T* dy, const T* dout, const acc_t<T>* w, const int32_t* assignment, int64_t M,
                          int64_t K, int64_t C, double beta) {
  using E = typename OnDevice<T>::type;
  auto* out = device_pointer(dy);
  const auto* in = device_pointer(dout);
  const float kept = float(beta);
  const int top_k = int(K);
  for_each_row<E>(in_packs<E>(C, dy, dout), M, int(C), [=] ON_DEVICE(auto width, int64_t m, int c) {
    const int32_t i = assignment[m];
    put_scaled(width, out + m * C + c, i < 0 ? nullptr : in + i / top_k * C + c, i < 0 ? 0.0f : w[i], kept);
  });
}

template <class T>
void expert_combine_bwd_w(acc_t<T>* dw, const T* dout, const T* y, const int32_t* slot, int64_t N, int64_t K,
                          int64_t C, double beta) {
  using E = typename OnDevice<T>::type;
  if (N * K == 0) return;
  const auto *grad = device_pointer(dout), *in = device_pointer(y);
  if (in_packs<E>(C, dout, y))
    LAUNCH((combine_bwd_w_kernel<E, kWidestPack<E>>), blocks_for(N * K), kRowsPerBlock * kLanes, 0, stream(),
           dw, grad, in, slot, int(N * K), int(K), int(C), float(beta));
  else
    LAUNCH((combine_bwd_w_kernel<E, 1>), blocks_for(N * K), kRowsPerBlock * kLanes, 0, stream(), dw, grad, in,
           slot, int(N * K), int(K), int(C), float(beta));
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
