// The passes after the two matrix products, a thread for each element of the state: every gate of it is at
// hand there. fp32 only: a router is never bf16.
#include "engine/cuda/for_each.cuh"
#include "engine/cuda/math.cuh"
#include "ops/recurrent_cell/kernels.hpp"

namespace rmoe::cuda {
namespace {

/// Element p of gate 0 of its token, in [N, gates * P]; the other gates' follow P apart.
DEVICE int64_t first_gate(int64_t i, int64_t P, int64_t gates) { return i / P * gates * P + i % P; }

}  // namespace

template <class T>
void gru_fwd(T* y, acc_t<T>* kept, const T* a, const T* u, const T* h, int64_t N, int64_t P) {
  for_each(N * P, [=] ON_DEVICE(int64_t i) {
    const int64_t g = first_gate(i, P, 3);
    const float r = sigmoid(a[g] + u[g]), z = sigmoid(a[g + P] + u[g + P]), u_n = u[g + 2 * P];
    const float n = tanhf(a[g + 2 * P] + r * u_n);
    float* k = kept + first_gate(i, P, 4);
    k[0] = r;
    k[P] = z;
    k[2 * P] = n;
    k[3 * P] = u_n;
    y[i] = (1.0f - z) * n + z * h[i];
  });
}

template <class T>
void rnn_fwd(T* y, const T* a, const T* u, int64_t N, int64_t P) {
  for_each(N * P, [=] ON_DEVICE(int64_t i) { y[i] = tanhf(a[i] + u[i]); });
}

template <class T>
void lstm_fwd(T* y, T* c_new, acc_t<T>* kept, const T* a, const T* u, const T* c, int64_t N, int64_t P) {
  for_each(N * P, [=] ON_DEVICE(int64_t at) {
    const int64_t gate = first_gate(at, P, 4);
    const auto sum = [&](int64_t which) { return a[gate + which * P] + u[gate + which * P]; };
    const float i = sigmoid(sum(0)), f = sigmoid(sum(1)), g = tanhf(sum(2)), o = sigmoid(sum(3));
    const float state = f * c[at] + i * g, tanh_c = tanhf(state);
    float* k = kept + first_gate(at, P, 5);
    k[0] = i;
    k[P] = f;
    k[2 * P] = g;
    k[3 * P] = o;
    k[4 * P] = tanh_c;
    c_new[at] = state;
    y[at] = o * tanh_c;
  });
}

template <class T>
void gru_bwd(acc_t<T>* da, acc_t<T>* du, const acc_t<T>* dy, const acc_t<T>* kept, const T* h, int64_t N,
             int64_t P) {
  for_each(N * P, [=] ON_DEVICE(int64_t i) {
    const float* k = kept + first_gate(i, P, 4);
    const float r = k[0], z = k[P], n = k[2 * P], u_n = k[3 * P];
    const float dn = dy[i] * (1.0f - z) * (1.0f - n * n);
    const float dr = dn * u_n * r * (1.0f - r), dz = dy[i] * (h[i] - n) * z * (1.0f - z);
    const int64_t g = first_gate(i, P, 3);
    da[g] = dr;
    da[g + P] = dz;
    da[g + 2 * P] = dn;
    if (!du) return;
    du[g] = dr;
    du[g + P] = dz;
    du[g + 2 * P] = dn * r;
  });
}

template <class T>
void gru_bwd_h(acc_t<T>* dh, const acc_t<T>* dy, const acc_t<T>* kept, int64_t N, int64_t P, double beta) {
  const float before = float(beta);
  for_each(N * P, [=] ON_DEVICE(int64_t i) { put(dh[i], dy[i] * kept[first_gate(i, P, 4) + P], before); });
}

template <class T>
void rnn_bwd(acc_t<T>* da, const acc_t<T>* dy, const T* y, int64_t N, int64_t P) {
  for_each(N * P, [=] ON_DEVICE(int64_t i) { da[i] = dy[i] * (1.0f - y[i] * y[i]); });
}

template <class T>
void lstm_bwd(acc_t<T>* da, const acc_t<T>* dy, const acc_t<T>* dc_new, const acc_t<T>* kept, const T* c,
              int64_t N, int64_t P) {
  for_each(N * P, [=] ON_DEVICE(int64_t at) {
    const float* k = kept + first_gate(at, P, 5);
    const float i = k[0], f = k[P], g = k[2 * P], o = k[3 * P], tanh_c = k[4 * P];
    const float dc = dc_new[at] + dy[at] * o * (1.0f - tanh_c * tanh_c);
    float* to = da + first_gate(at, P, 4);
    to[0] = dc * g * i * (1.0f - i);
    to[P] = dc * c[at] * f * (1.0f - f);
    to[2 * P] = dc * i * (1.0f - g * g);
    to[3 * P] = dy[at] * tanh_c * o * (1.0f - o);
  });
}

template <class T>
void lstm_bwd_c(acc_t<T>* dc, const acc_t<T>* dy, const acc_t<T>* dc_new, const acc_t<T>* kept, int64_t N,
                int64_t P, double beta) {
  const float before = float(beta);
  for_each(N * P, [=] ON_DEVICE(int64_t i) {
    const float* k = kept + first_gate(i, P, 5);
    const float f = k[P], o = k[3 * P], tanh_c = k[4 * P];
    put(dc[i], f * (dc_new[i] + dy[i] * o * (1.0f - tanh_c * tanh_c)), before);
  });
}

template void gru_fwd<float>(float*, float*, const float*, const float*, const float*, int64_t, int64_t);
template void rnn_fwd<float>(float*, const float*, const float*, int64_t, int64_t);
template void lstm_fwd<float>(float*, float*, float*, const float*, const float*, const float*, int64_t,
                              int64_t);
template void gru_bwd<float>(float*, float*, const float*, const float*, const float*, int64_t, int64_t);
template void gru_bwd_h<float>(float*, const float*, const float*, int64_t, int64_t, double);
template void rnn_bwd<float>(float*, const float*, const float*, int64_t, int64_t);
template void lstm_bwd<float>(float*, const float*, const float*, const float*, const float*, int64_t,
                              int64_t);
template void lstm_bwd_c<float>(float*, const float*, const float*, const float*, int64_t, int64_t, double);

}  // namespace rmoe::cuda
