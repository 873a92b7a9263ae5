#pragma once

#include "engine/kernel.hpp"

#include <cstdint>

namespace rmoe {

/// Routes on the device with the sizes of the experts: M rows sorted by expert, of assignments i = n K + k.
/// Rows behind the last expert's are never written and never read.
struct ExpertRows {
  const int32_t *offsets, *assignment, *slot;  // [E+1] [M] [N,K]
  int64_t M, N, K, E, F, C;
};

/// Of hidden unit f of assignment i decides number offset + i F + f.
struct ExpertDropout {
  double p;
  uint64_t seed, stream;
  int64_t offset;
};

// On the CPU for float and double, on a GPU for bf16 alone, with F and C multiples of eight.

// gate_up [M,2F] is in an order of the device's own. CPU: all gates, then all up projections. GPU: the gate
// of hidden units 8 b to 8 b + 7 in columns 16 b to 16 b + 7 and their up projection in the next eight; a
// fragment of the tensor cores is eight columns wide, so that one thread has both.

// gate_up = (x w1_e^T, x w3_e^T) of the rows' tokens, outputs = (silu(gate) up) w2_e^T
KERNEL(swiglu_experts_fwd, T* gate_up, T* outputs, const T* x, const T* w1, const T* w3, const T* w2,
       const ExpertRows& rows);
// With dh_m = dout_n w2_e and h = silu(gate) up: d_gate_up = g dh dh/d(gate, up), gated_h = g h,
// dots_i = <h, dh> (0 if i was dropped).
KERNEL(swiglu_experts_bwd_hidden, T* d_gate_up, T* gated_h, acc_t<T>* dots, const T* dout, const T* w2,
       const acc_t<T>* gates, const T* gate_up, const ExpertRows& rows);
// dx of every row [M,C]; the op adds up those of a token.
KERNEL(swiglu_experts_bwd_x, T* dx_rows, const T* d_gate_up, const T* w1, const T* w3,
       const ExpertRows& rows);
// dw1 and dw3; either may be null.
KERNEL(swiglu_experts_bwd_w13, acc_t<T>* dw1, acc_t<T>* dw3, const T* x, const T* d_gate_up,
       const ExpertRows& rows, double beta1, double beta3);

// h = dropout(relu(x w1_e^T + b1_e)) of the rows' tokens, outputs = h w2_e^T + b2_e
KERNEL(relu_experts_fwd, T* h, T* outputs, const T* x, const T* w1, const T* b1, const T* w2, const T* b2,
       const ExpertRows& rows, const ExpertDropout& dropout);
// With dh_m = dout_n w2_e: dz = g dh / (1 - p) where h > 0, else 0; gated_h = g h;
// dots_i = <h, dh> + <b2_e, dout_n> (0 if i was dropped).
KERNEL(relu_experts_bwd_hidden, T* dz, T* gated_h, acc_t<T>* dots, const T* dout, const T* w2, const T* b2,
       const acc_t<T>* gates, const T* h, const ExpertRows& rows, double p);
KERNEL(relu_experts_bwd_w1, acc_t<T>* dw1, const T* x, const T* dz, const ExpertRows& rows, double beta);

// dw2_e = sum_m dout_n^T gated_h_m and db2_e = sum_m g_m dout_n, n the token of row m.
KERNEL(experts_bwd_w2, acc_t<T>* dw2, const T* dout, const T* gated_h, const ExpertRows& rows, double beta);
KERNEL(experts_bwd_b2, acc_t<T>* db2, const T* dout, const acc_t<T>* gates, const ExpertRows& rows,
       double beta);

}  // namespace rmoe
