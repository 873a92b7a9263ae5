#include "engine/cuda/rows.cuh"
#include "ops/rms_norm/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// y = x r w; returns r.
template <int kWidth, class T>
DEVICE float scale_row(T* y, const T* x, const T* w, int64_t C, int lane, float squares, float eps) {
  const float scale = 1.0f / sqrtf(squares / float(C) + eps);
  map_row<kWidth>(
      y, C, lane, 0.0f, [=](float value, float weight) { return value * scale * weight; }, x, w);
  return scale;
}

template <int kWidth, class T>
void forward(T* y, float* r, const T* x, const T* w, int64_t N, int64_t C, float eps) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const T* row = x + n * C;
    const float squares = sum_over_row<kWidth>(
        C, lane, [](float value) { return value * value; }, row);
    const float scale = scale_row<kWidth>(y + n * C, row, w, C, lane, squares, eps);
    if (lane == 0) r[n] = scale;
  });
}

template <int kWidth, class T>
void add_forward(T* sum, T* y, float* r, const T* x1, const T* x2, const T* w, int64_t N, int64_t C,
                 float eps) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    T* row = sum + n * C;
    const float squares =
        add_rows<kWidth>(row, x1 + n * C, x2 + n * C, C, lane, [](float value) { return value * value; });
    const float scale = scale_row<kWidth>(y + n * C, row, w, C, lane, squares, eps);
    if (lane == 0) r[n] = scale;
  });
}

// dx_c = r (dy_c w_c - x_c r^2 mean_j(dy_j w_j x_j))
template <int kWidth, class T>
void backward(T* dx, const T* dy, const T* x, const T* w, const float* r, int64_t N, int64_t C, float beta) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const T *grad = dy + n * C, *row = x + n * C;
    const float dot = sum_over_row<kWidth>(
        C, lane, [](float g, float weight, float value) { return g * weight * value; }, grad, w, row);
    const float scale = r[n], shrink = scale * scale * dot / float(C);
    map_row<kWidth>(
        dx + n * C, C, lane, beta,
        [=](float g, float weight, float value) { return scale * (g * weight - value * shrink); }, grad, w,
        row);
  });
}

}  // namespace

template <class T>
void rms_norm_fwd(T* y, acc_t<T>* r, const T* x, const T* w, int64_t N, int64_t C, double eps) {
  const auto run = in_packs(C, y, x, w) ? forward<widest_pack<T>(), typename OnDevice<T>::type>
                                        : forward<1, typename OnDevice<T>::type>;
  run(device_pointer(y), r, device_pointer(x), device_pointer(w), N, C, float(eps));
}

template <class T>
void add_rms_norm_fwd(T* sum, T* y, acc_t<T>* r, const T* x1, const T* x2, const T* w, int64_t N, int64_t C,
                      double eps) {
  const auto run = in_packs(C, sum, y, x1, x2, w) ? add_forward<widest_pack<T>(), typename OnDevice<T>::type>
                                                  : add_forward<1, typename OnDevice<T>::type>;
  run(device_pointer(sum), device_pointer(y), r, device_pointer(x1), device_pointer(x2), device_pointer(w), N,
      C, float(eps));
}

template <class T>
void rms_norm_bwd_x(T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* r, int64_t N, int64_t C,
                    double beta) {
  const auto run = in_packs(C, dx, dy, x, w) ? backward<widest_pack<T>(), typename OnDevice<T>::type>
                                             : backward<1, typename OnDevice<T>::type>;
  run(device_pointer(dx), device_pointer(dy), device_pointer(x), device_pointer(w), r, N, C, float(beta));
}

template <class T>
void rms_norm_bwd_w(acc_t<T>* dw, const T* dy, const T* x, const acc_t<T>* r, int64_t N, int64_t C,
                    double beta) {
  const auto *grad = device_pointer(dy), *in = device_pointer(x);
  sum_columns(dw, N, C, beta, [=] ON_DEVICE(int64_t n, int64_t c) {
    return to_float(grad[n * C + c]) * to_float(in[n * C + c]) * r[n];
  });
}

#define RMOE_INSTANTIATE(T)                                                                            \
  template void rms_norm_fwd<T>(T*, acc_t<T>*, const T*, const T*, int64_t, int64_t, double);          \
  template void add_rms_norm_fwd<T>(T*, T*, acc_t<T>*, const T*, const T*, const T*, int64_t, int64_t, \
                                    double);                                                           \
  template void rms_norm_bwd_x<T>(T*, const T*, const T*, const T*, const acc_t<T>*, int64_t, int64_t, \
                                  double);                                                             \
  template void rms_norm_bwd_w<T>(acc_t<T>*, const T*, const T*, const acc_t<T>*, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
