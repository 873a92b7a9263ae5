// The angles depend on the position and the pair alone: a table of their cosines and sines, computed in
// double for [time, D/2], serves all batches and heads. Then one block turns the heads of one token.
#include "engine/cuda/for_each.cuh"
#include "ops/rope/kernels.hpp"

namespace rmoe::cuda {
namespace {

constexpr int kPairsAtOnce = 128;

/// table_ti = {cos a, sin a}, a = direction (first + t) theta^(-2i/D)
void fill_table(float2* table, int64_t time, int64_t half, double theta, int64_t first, double direction) {
  for_each(time * half, [=] ON_DEVICE(int64_t n) {
    const double turn = direction * pow(theta, -double(n % half) / double(half));
    const double angle = turn * double(first + n / half);
    table[n] = make_float2(float(cos(angle)), float(sin(angle)));
  });
}

template <class T>
__global__ void __launch_bounds__(kPairsAtOnce)
    turn_kernel(T* y, const T* x, const float2* table, int time, int pairs, int half, float beta) {
  const int64_t row = int64_t(blockIdx.x) * 2 * pairs;
  const float2* angles = table + int64_t(blockIdx.x % time) * half;
  for (int n = threadIdx.x; n < pairs; n += kPairsAtOnce) {
    const int pair = n % half;
    const int64_t low = row + 2 * n - pair, high = low + half;  // head n / half begins at 2 (n - pair)
    const float2 angle = angles[pair];
    const float a = to_float(x[low]), b = to_float(x[high]);
    put(y[low], a * angle.x - b * angle.y, beta);
    put(y[high], b * angle.x + a * angle.y, beta);
  }
}

template <class T>
void turn(T* y, const T* x, int64_t B, int64_t time, int64_t H, int64_t D, double theta, int64_t first,
          double direction, double beta) {
  if (B * time == 0) return;
  const int64_t half = D / 2;
  const Scratch<float2> table(time * half);
  fill_table(table.data(), time, half, theta, first, direction);
  LAUNCH((turn_kernel<T>), unsigned(B * time), kPairsAtOnce, 0, stream(), y, x, table.data(), int(time),
         int(H * half), int(half), float(beta));
}

}  // namespace

template <class T>
void rope_fwd(T* y, const T* x, int64_t B, int64_t time, int64_t H, int64_t D, double theta, int64_t first) {
  turn(device_pointer(y), device_pointer(x), B, time, H, D, theta, first, 1, 0);
}

template <class T>
void rope_bwd(T* dx, const T* dy, int64_t B, int64_t time, int64_t H, int64_t D, double theta, int64_t first,
              double beta) {
  turn(device_pointer(dx), device_pointer(dy), B, time, H, D, theta, first, -1, beta);
}

#define RMOE_INSTANTIATE(T)                                                                     \
  template void rope_fwd<T>(T*, const T*, int64_t, int64_t, int64_t, int64_t, double, int64_t); \
  template void rope_bwd<T>(T*, const T*, int64_t, int64_t, int64_t, int64_t, double, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
