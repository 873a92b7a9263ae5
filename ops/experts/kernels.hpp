#pragma once

#include "engine/dtype.hpp"

#include <cstdint>

namespace rmoe {

/// Routes on the device with the sizes of the experts: M rows sorted by expert, of assignments i = n K + k.
struct ExpertRows {
  const int32_t *offsets, *assignment, *slot;  // [E+1] [M] [N,K]
  int64_t M, N, K, E, F, C;
};

// On a GPU in bf16 alone, with F and C multiples of eight; anywhere else the op is a composition. gate_up
// [M,2F] has the gate of hidden units 8 b to 8 b + 7 in columns 16 b to 16 b + 7 and their up projection in
// the next eight: a fragment of the tensor cores is eight columns wide, so that one thread has both. Rows
// behind the last expert's are never written and never read.
namespace cuda {

/// gate_up = (x w1_e^T, x w3_e^T) of the rows' tokens, h = silu(gate) up.
[[gnu::weak]] void swiglu_experts_fwd(bf16* gate_up, bf16* h, const bf16* x, const bf16* w1, const bf16* w3,
                                      const ExpertRows& rows);
/// With dh_m = dout_n w2_e: d_gate_up = g dh d(silu(gate) up), gated_h = g h, dots_i = <h, dh> (0 if i was
/// dropped).
[[gnu::weak]] void swiglu_experts_bwd_hidden(bf16* d_gate_up, bf16* gated_h, float* dots, const bf16* dout,
                                             const bf16* w2, const float* gates, const bf16* gate_up,
                                             const ExpertRows& rows);
/// dx of every row [M,C]; the op adds up those of a token.
[[gnu::weak]] void swiglu_experts_bwd_x(bf16* dx_rows, const bf16* d_gate_up, const bf16* w1, const bf16* w3,
                                        const ExpertRows& rows);
/// dw1 and dw3; either may be null.
[[gnu::weak]] void swiglu_experts_bwd_w13(float* dw1, float* dw3, const bf16* x, const bf16* d_gate_up,
                                          const ExpertRows& rows, double beta1, double beta3);
[[gnu::weak]] void swiglu_experts_bwd_w2(float* dw2, const bf16* dout, const bf16* gated_h,
                                         const ExpertRows& rows, double beta);

}  // namespace cuda
}  // namespace rmoe
