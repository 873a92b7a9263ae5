// The loop of every op that makes one output of inputs of the same shape, 16 bytes at a time where the
// addresses allow it: such loops only move memory, and one element of bf16 per load moves it at half the
// speed.
#pragma once

#include "engine/cuda/for_each.cuh"

namespace rmoe::cuda {

/// Neighbours that are loaded and stored at once.
template <class T, int kWidth>
struct alignas(kWidth * sizeof(T)) Pack {
  T at[kWidth];
};

template <int kWidth, class T>
DEVICE Pack<T, kWidth> load(const T* from) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(from);
}
template <int kWidth, class T>
DEVICE void store(T* into, const Pack<T, kWidth>& pack) {
  *reinterpret_cast<Pack<T, kWidth>*>(into) = pack;
}

/// How many elements make 16 bytes of the widest type.
template <class... T>
constexpr int widest_pack() {
  size_t most = 0;
  ((most = sizeof(T) > most ? sizeof(T) : most), ...);
  return int(16 / most);
}

template <class... T>
bool all_aligned(const T*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

template <int kWidth, class Out, class F, class... In>
DEVICE void map_pack(Out* y, float beta, const F& f, const In*... x) {
  Pack<Out, kWidth> out;
  if (beta != 0.0f) out = load<kWidth>(y);
  const auto apply = [&](const auto&... in) {
    UNROLL for (int j = 0; j < kWidth; ++j) put(out.at[j], f(to_float(in.at[j])...), beta);
  };
  apply(load<kWidth>(x)...);
  store(y, out);
}

template <int kWidth, class Out, class F, class... In>
__global__ void __launch_bounds__(kThreads) map_kernel(Out* y, int64_t n, float beta, F f, const In*... x) {
  const int64_t thread = int64_t(blockIdx.x) * kThreads + threadIdx.x,
                threads = int64_t(gridDim.x) * kThreads;
  const int64_t packs = n / kWidth, last = packs * kWidth + thread;
  for (int64_t p = thread; p < packs; p += threads)
    map_pack<kWidth>(y + p * kWidth, beta, f, (x + p * kWidth)...);
  if (last < n) map_pack<1>(y + last, beta, f, (x + last)...);
}

template <int kWidth, class Out, class F, class... In>
void launch_map(Out* y, int64_t n, double beta, F f, const In*... x) {
  LAUNCH((map_kernel<kWidth, Out, F, In...>), blocks_for((n + kWidth - 1) / kWidth), kThreads, 0, stream(), y,
         n, float(beta), f, x...);
}

/// y_i = beta y_i + f(x_i...) for i in [0, n), f on floats: map_into(y, n, 0, [] ON_DEVICE(float a) { return
/// -a; }, x). y may be one of the x.
template <class Out, class F, class... In>
void map_into(Out* y, int64_t n, double beta, F f, const In*... x) {
  if (n == 0) return;
  if (all_aligned(y, x...))
    launch_map<widest_pack<Out, In...>()>(device_pointer(y), n, beta, f, device_pointer(x)...);
  else
    launch_map<1>(device_pointer(y), n, beta, f, device_pointer(x)...);
}

}  // namespace rmoe::cuda
