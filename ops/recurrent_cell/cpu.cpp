#include "engine/math.hpp"
#include "engine/parallel.hpp"
#include "ops/recurrent_cell/kernels.hpp"

// Loops over many arrays say `omp simd`: the compiler gives up on proving that they do not overlap.
namespace rmoe::cpu {
namespace {

/// f(n) for every token, in pieces of fixed size.
template <class F>
void for_tokens(int64_t N, F&& f) {
  constexpr int64_t kRows = 32;
  parallel_chunks(N, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) f(n);
  });
}

}  // namespace

template <class T>
void gru_fwd(T* y, acc_t<T>* kept, const T* a, const T* u, const T* h, int64_t N, int64_t P) {
  for_tokens(N, [=](int64_t token) {
    const T *an = a + token * 3 * P, *un = u + token * 3 * P, *hn = h + token * P;
    T *r = kept + token * 4 * P, *z = r + P, *n = z + P, *u_n = n + P, *yn = y + token * P;
    for (int64_t p = 0; p < P; ++p) r[p] = math::sigmoid(an[p] + un[p]);
    for (int64_t p = 0; p < P; ++p) z[p] = math::sigmoid(an[P + p] + un[P + p]);
#pragma omp simd
    for (int64_t p = 0; p < P; ++p) {
      u_n[p] = un[2 * P + p];
      n[p] = math::tanh(an[2 * P + p] + r[p] * u_n[p]);
      yn[p] = (T(1) - z[p]) * n[p] + z[p] * hn[p];
    }
  });
}

template <class T>
void rnn_fwd(T* y, const T* a, const T* u, int64_t N, int64_t P) {
  for_tokens(N, [=](int64_t token) {
    for (int64_t i = token * P; i < (token + 1) * P; ++i) y[i] = math::tanh(a[i] + u[i]);
  });
}

template <class T>
void lstm_fwd(T* y, T* c_new, acc_t<T>* kept, const T* a, const T* u, const T* c, int64_t N, int64_t P) {
  for_tokens(N, [=](int64_t token) {
    const T *an = a + token * 4 * P, *un = u + token * 4 * P, *cn = c + token * P;
    T *i = kept + token * 5 * P, *f = i + P, *g = f + P, *o = g + P, *tanh_c = o + P;
    T *yn = y + token * P, *to = c_new + token * P;
    for (int64_t p = 0; p < 2 * P; ++p) i[p] = math::sigmoid(an[p] + un[p]);  // i and f
    for (int64_t p = 0; p < P; ++p) g[p] = math::tanh(an[2 * P + p] + un[2 * P + p]);
    for (int64_t p = 0; p < P; ++p) o[p] = math::sigmoid(an[3 * P + p] + un[3 * P + p]);
#pragma omp simd
    for (int64_t p = 0; p < P; ++p) {
      to[p] = f[p] * cn[p] + i[p] * g[p];
      tanh_c[p] = math::tanh(to[p]);
      yn[p] = o[p] * tanh_c[p];
    }
  });
}

template <class T>
void gru_bwd(acc_t<T>* da, acc_t<T>* du, const acc_t<T>* dy, const acc_t<T>* kept, const T* h, int64_t N,
             int64_t P) {
  for_tokens(N, [=](int64_t token) {
    const T *r = kept + token * 4 * P, *z = r + P, *n = z + P, *u_n = n + P;
    const T *dyn = dy + token * P, *hn = h + token * P;
    T* dan = da + token * 3 * P;
#pragma omp simd
    for (int64_t p = 0; p < P; ++p) {
      const T dn = dyn[p] * (T(1) - z[p]) * (T(1) - n[p] * n[p]);
      dan[p] = dn * u_n[p] * r[p] * (T(1) - r[p]);
      dan[P + p] = dyn[p] * (hn[p] - n[p]) * z[p] * (T(1) - z[p]);
      dan[2 * P + p] = dn;
    }
    if (!du) return;
    T* dun = du + token * 3 * P;
    for (int64_t p = 0; p < 2 * P; ++p) dun[p] = dan[p];
    for (int64_t p = 0; p < P; ++p) dun[2 * P + p] = dan[2 * P + p] * r[p];
  });
}

template <class T>
void gru_bwd_h(acc_t<T>* dh, const acc_t<T>* dy, const acc_t<T>* kept, int64_t N, int64_t P, double beta) {
  for_tokens(N, [=](int64_t token) {
    const T *z = kept + token * 4 * P + P, *dyn = dy + token * P;
    T* to = dh + token * P;
    for (int64_t p = 0; p < P; ++p) to[p] = beta == 0 ? dyn[p] * z[p] : to[p] + dyn[p] * z[p];
  });
}

template <class T>
void rnn_bwd(acc_t<T>* da, const acc_t<T>* dy, const T* y, int64_t N, int64_t P) {
  for_tokens(N, [=](int64_t token) {
    for (int64_t i = token * P; i < (token + 1) * P; ++i) da[i] = dy[i] * (T(1) - y[i] * y[i]);
  });
}

template <class T>
void lstm_bwd(acc_t<T>* da, const acc_t<T>* dy, const acc_t<T>* dc_new, const acc_t<T>* kept, const T* c,
              int64_t N, int64_t P) {
  for_tokens(N, [=](int64_t token) {
    const T *i = kept + token * 5 * P, *f = i + P, *g = f + P, *o = g + P, *tanh_c = o + P;
    const T *dyn = dy + token * P, *dcn = dc_new + token * P, *cn = c + token * P;
    T* dan = da + token * 4 * P;
#pragma omp simd
    for (int64_t p = 0; p < P; ++p) {
      const T dc = dcn[p] + dyn[p] * o[p] * (T(1) - tanh_c[p] * tanh_c[p]);
      dan[p] = dc * g[p] * i[p] * (T(1) - i[p]);
      dan[P + p] = dc * cn[p] * f[p] * (T(1) - f[p]);
      dan[2 * P + p] = dc * i[p] * (T(1) - g[p] * g[p]);
      dan[3 * P + p] = dyn[p] * tanh_c[p] * o[p] * (T(1) - o[p]);
    }
  });
}

template <class T>
void lstm_bwd_c(acc_t<T>* dc, const acc_t<T>* dy, const acc_t<T>* dc_new, const acc_t<T>* kept, int64_t N,
                int64_t P, double beta) {
  for_tokens(N, [=](int64_t token) {
    const T *f = kept + token * 5 * P + P, *o = f + 2 * P, *tanh_c = o + P;
    const T *dyn = dy + token * P, *dcn = dc_new + token * P;
    T* to = dc + token * P;
    for (int64_t p = 0; p < P; ++p) {
      const T g = f[p] * (dcn[p] + dyn[p] * o[p] * (T(1) - tanh_c[p] * tanh_c[p]));
      to[p] = beta == 0 ? g : to[p] + g;
    }
  });
}

#define RMOE_INSTANTIATE(T)                                                                                  \
  template void gru_fwd<T>(T*, acc_t<T>*, const T*, const T*, const T*, int64_t, int64_t);                   \
  template void rnn_fwd<T>(T*, const T*, const T*, int64_t, int64_t);                                        \
  template void lstm_fwd<T>(T*, T*, acc_t<T>*, const T*, const T*, const T*, int64_t, int64_t);              \
  template void gru_bwd<T>(acc_t<T>*, acc_t<T>*, const acc_t<T>*, const acc_t<T>*, const T*, int64_t,        \
                           int64_t);                                                                         \
  template void gru_bwd_h<T>(acc_t<T>*, const acc_t<T>*, const acc_t<T>*, int64_t, int64_t, double);         \
  template void rnn_bwd<T>(acc_t<T>*, const acc_t<T>*, const T*, int64_t, int64_t);                          \
  template void lstm_bwd<T>(acc_t<T>*, const acc_t<T>*, const acc_t<T>*, const acc_t<T>*, const T*, int64_t, \
                            int64_t);                                                                        \
  template void lstm_bwd_c<T>(acc_t<T>*, const acc_t<T>*, const acc_t<T>*, const acc_t<T>*, int64_t,         \
                              int64_t, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
