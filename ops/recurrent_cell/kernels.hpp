#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

// The pass after the two matrix products a and u [N, gates * P]. `kept` is what backward reads, one row per
// token: gru [N,4P] r, z, n, u_n; lstm [N,5P] i, f, g, o, tanh(c').
KERNEL(gru_fwd, T* y, acc_t<T>* kept, const T* a, const T* u, const T* h, int64_t N, int64_t P);
KERNEL(rnn_fwd, T* y, const T* a, const T* u, int64_t N, int64_t P);
KERNEL(lstm_fwd, T* y, T* c_new, acc_t<T>* kept, const T* a, const T* u, const T* c, int64_t N, int64_t P);

// da = du except for the gru, whose du may be null if nobody wants it. The state's gradients are added:
// into = beta * into + gradient.
KERNEL(gru_bwd, acc_t<T>* da, acc_t<T>* du, const acc_t<T>* dy, const acc_t<T>* kept, const T* h, int64_t N,
       int64_t P);
KERNEL(gru_bwd_h, acc_t<T>* dh, const acc_t<T>* dy, const acc_t<T>* kept, int64_t N, int64_t P, double beta);
KERNEL(rnn_bwd, acc_t<T>* da, const acc_t<T>* dy, const T* y, int64_t N, int64_t P);
KERNEL(lstm_bwd, acc_t<T>* da, const acc_t<T>* dy, const acc_t<T>* dc_new, const acc_t<T>* kept, const T* c,
       int64_t N, int64_t P);
KERNEL(lstm_bwd_c, acc_t<T>* dc, const acc_t<T>* dy, const acc_t<T>* dc_new, const acc_t<T>* kept, int64_t N,
       int64_t P, double beta);

}  // namespace rmoe
