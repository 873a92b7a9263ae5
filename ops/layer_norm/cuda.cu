#include "engine/cuda/rows.cuh"
#include "ops/layer_norm/kernels.hpp"

namespace rmoe::cuda {
namespace {

struct Statistics {
  float mean, rstd;
};

/// y = (x - mean) rstd w + b. The variance is not mean(x^2) - mu^2: that cancels when the mean is large.
template <int kWidth, class T>
DEVICE Statistics normalise_row(T* y, const T* x, const T* w, const T* b, int64_t C, int lane, float sum,
                                float eps) {
  const float mu = sum / float(C);
  const float squares = sum_over_row<kWidth>(
      C, lane, [=](float value) { return (value - mu) * (value - mu); }, x);
  const float r = 1.0f / sqrtf(squares / float(C) + eps);
  map_row<kWidth>(
      y, C, lane, 0.0f,
      [=](float value, float weight, float bias) { return (value - mu) * r * weight + bias; }, x, w, b);
  return {mu, r};
}

template <int kWidth, class T>
void forward(T* y, float* mean, float* rstd, const T* x, const T* w, const T* b, int64_t N, int64_t C,
             float eps) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const T* row = x + n * C;
    const float sum = sum_over_row<kWidth>(
        C, lane, [](float value) { return value; }, row);
    const Statistics s = normalise_row<kWidth>(y + n * C, row, w, b, C, lane, sum, eps);
    if (lane != 0) return;
    mean[n] = s.mean;
    rstd[n] = s.rstd;
  });
}

template <int kWidth, class T>
void add_forward(T* sum, T* y, float* mean, float* rstd, const T* x1, const T* x2, const T* w, const T* b,
                 int64_t N, int64_t C, float eps) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    T* row = sum + n * C;
    const float total =
        add_rows<kWidth>(row, x1 + n * C, x2 + n * C, C, lane, [](float value) { return value; });
    const Statistics s = normalise_row<kWidth>(y + n * C, row, w, b, C, lane, total, eps);
    if (lane != 0) return;
    mean[n] = s.mean;
    rstd[n] = s.rstd;
  });
}

// dx_c = r (g_c - mean_j(g_j) - (x_c - mu) r^2 mean_j(g_j (x_j - mu))),  g_c = dy_c w_c
template <int kWidth, class T>
void backward(T* dx, const T* dy, const T* x, const T* w, const float* mean, const float* rstd, int64_t N,
              int64_t C, float beta) {
  for_each_row(N, [=] ON_DEVICE(int64_t n, int lane) {
    const T *grad = dy + n * C, *row = x + n * C;
    const float mu = mean[n], r = rstd[n];
    const float sum = sum_over_row<kWidth>(
        C, lane, [](float g, float weight) { return g * weight; }, grad, w);
    const float dot = sum_over_row<kWidth>(
        C, lane, [=](float g, float weight, float value) { return g * weight * (value - mu); }, grad, w, row);
    const float centre = sum / float(C), shrink = r * r * dot / float(C);
    map_row<kWidth>(
        dx + n * C, C, lane, beta,
        [=](float g, float weight, float value) { return r * (g * weight - centre - (value - mu) * shrink); },
        grad, w, row);
  });
}

}  // namespace

template <class T>
void layer_norm_fwd(T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x, const T* w, const T* b, int64_t N,
                    int64_t C, double eps) {
  const auto run = in_packs(C, y, x, w, b) ? forward<widest_pack<T>(), typename OnDevice<T>::type>
                                           : forward<1, typename OnDevice<T>::type>;
  run(device_pointer(y), mean, rstd, device_pointer(x), device_pointer(w), device_pointer(b), N, C,
      float(eps));
}

template <class T>
void add_layer_norm_fwd(T* sum, T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x1, const T* x2, const T* w,
                        const T* b, int64_t N, int64_t C, double eps) {
  const auto run = in_packs(C, sum, y, x1, x2, w, b)
                       ? add_forward<widest_pack<T>(), typename OnDevice<T>::type>
                       : add_forward<1, typename OnDevice<T>::type>;
  run(device_pointer(sum), device_pointer(y), mean, rstd, device_pointer(x1), device_pointer(x2),
      device_pointer(w), device_pointer(b), N, C, float(eps));
}

template <class T>
void layer_norm_bwd_x(T* dx, const T* dy, const T* x, const T* w, const acc_t<T>* mean, const acc_t<T>* rstd,
                      int64_t N, int64_t C, double beta) {
  const auto run = in_packs(C, dx, dy, x, w) ? backward<widest_pack<T>(), typename OnDevice<T>::type>
                                             : backward<1, typename OnDevice<T>::type>;
  run(device_pointer(dx), device_pointer(dy), device_pointer(x), device_pointer(w), mean, rstd, N, C,
      float(beta));
}

template <class T>
void layer_norm_bwd_w(acc_t<T>* dw, const T* dy, const T* x, const acc_t<T>* mean, const acc_t<T>* rstd,
                      int64_t N, int64_t C, double beta) {
  const auto *grad = device_pointer(dy), *in = device_pointer(x);
  sum_columns(dw, N, C, beta, [=] ON_DEVICE(int64_t n, int64_t c) {
    return to_float(grad[n * C + c]) * ((to_float(in[n * C + c]) - mean[n]) * rstd[n]);
  });
}

template <class T>
void layer_norm_bwd_b(acc_t<T>* db, const T* dy, int64_t N, int64_t C, double beta) {
  const auto* grad = device_pointer(dy);
  sum_columns(db, N, C, beta, [=] ON_DEVICE(int64_t n, int64_t c) { return to_float(grad[n * C + c]); });
}

#define RMOE_INSTANTIATE(T)                                                                                 \
  template void layer_norm_fwd<T>(T*, acc_t<T>*, acc_t<T>*, const T*, const T*, const T*, int64_t, int64_t, \
                                  double);                                                                  \
  template void add_layer_norm_fwd<T>(T*, T*, acc_t<T>*, acc_t<T>*, const T*, const T*, const T*, const T*, \
                                      int64_t, int64_t, double);                                            \
  template void layer_norm_bwd_x<T>(T*, const T*, const T*, const T*, const acc_t<T>*, const acc_t<T>*,     \
                                    int64_t, int64_t, double);                                              \
  template void layer_norm_bwd_w<T>(acc_t<T>*, const T*, const T*, const acc_t<T>*, const acc_t<T>*,        \
                                    int64_t, int64_t, double);                                              \
  template void layer_norm_bwd_b<T>(acc_t<T>*, const T*, int64_t, int64_t, double);

RMOE_CUDA_TYPES(RMOE_INSTANTIATE)

}  // namespace rmoe::cuda
