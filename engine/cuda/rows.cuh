// A warp for every row: norms, softmaxes, gates.
#pragma once

#include "engine/cuda/map.cuh"
#include "engine/cuda/warp.cuh"

namespace rmoe::cuda {

constexpr int kRowsPerBlock = 4;

template <class F>
__global__ void __launch_bounds__(kRowsPerBlock* kLanes) for_each_row_kernel(int64_t N, F f) {
  const int64_t n = int64_t(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes;
  if (n < N) f(n, int(threadIdx.x % kLanes));
}

/// Calls f(n, lane) for n in [0, N) with every lane of a warp, so that f may reduce over it.
template <class F>
void for_each_row(int64_t N, F f) {
  if (N == 0) return;
  const int64_t blocks = (N + kRowsPerBlock - 1) / kRowsPerBlock;
  LAUNCH((for_each_row_kernel<F>), unsigned(blocks), kRowsPerBlock * kLanes, 0, stream(), N, f);
}

/// sum_c f(x_c...) over the C columns of a row, in every lane of its warp.
template <int kWidth, class F, class... In>
DEVICE float sum_over_row(int64_t C, int lane, const F& f, const In*... x) {
  float sum = 0.0f;
  const auto add = [&](const auto&... in) {
    UNROLL for (int j = 0; j < kWidth; ++j) sum += f(to_float(in.at[j])...);
  };
  for (int64_t c = lane * kWidth; c < C; c += kLanes * kWidth) add(load<kWidth>(x + c)...);
  return warp_reduce<Sum>(sum);
}

/// y_c = a_c + b_c, and sum_c f(y_c), of y as it is stored.
template <int kWidth, class T, class F>
DEVICE float add_rows(T* y, const T* a, const T* b, int64_t C, int lane, const F& f) {
  float sum = 0.0f;
  for (int64_t c = lane * kWidth; c < C; c += kLanes * kWidth) {
    const auto left = load<kWidth>(a + c), right = load<kWidth>(b + c);
    Pack<T, kWidth> out;
    UNROLL for (int j = 0; j < kWidth; ++j) {
      out.at[j] = from_float<T>(to_float(left.at[j]) + to_float(right.at[j]));
      sum += f(to_float(out.at[j]));
    }
    store(y + c, out);
  }
  return warp_reduce<Sum>(sum);
}

/// y_c = beta y_c + f(x_c...) for the columns of a row.
template <int kWidth, class Out, class F, class... In>
DEVICE void map_row(Out* y, int64_t C, int lane, float beta, const F& f, const In*... x) {
  for (int64_t c = lane * kWidth; c < C; c += kLanes * kWidth) map_pack<kWidth>(y + c, beta, f, (x + c)...);
}

DEVICE float max_over_row(const float* x, int64_t C, int lane) {
  float most = -INFINITY;
  for (int64_t c = lane; c < C; c += kLanes) most = fmaxf(most, x[c]);
  return warp_reduce<Max>(most);
}

/// Can rows of C elements be read and written 16 bytes at a time?
template <class... T>
bool in_packs(int64_t C, const T*... pointers) {
  return C % widest_pack<T...>() == 0 && all_aligned(pointers...);
}

}  // namespace rmoe::cuda
