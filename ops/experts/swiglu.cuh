// The activation between the two products of an expert, on pairs of bf16 values as accumulators have them,
// and the operands that interleave gate and up.
#pragma once

#include "ops/experts/rows.cuh"

namespace rmoe::cuda {

/// Column c of gate_up is hidden unit unit_of_column(c): of the gate if c % 16 < 8.
DEVICE int unit_of_column(int c) { return (c >> 4) * 8 + (c & 7); }

DEVICE float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
DEVICE float silu(float x) { return x * sigmoid(x); }
/// d silu(x) / dx, given s = sigmoid(x).
DEVICE float silu_slope(float x, float s) { return s * (1.0f + x * (1.0f - s)); }

/// h of two hidden units. From the rounded gate and up, so that backward computes the same bits.
DEVICE uint32_t swiglu_pair(uint32_t gate, uint32_t up) {
  return ptx::pack_bf16(silu(low_bf16(gate)) * low_bf16(up), silu(high_bf16(gate)) * high_bf16(up));
}

/// Gate and up become their gradients, for g dh; adds <h, dh> to dot and returns g h.
DEVICE uint32_t swiglu_pair_bwd(uint32_t& gate, uint32_t& up, float dh_low, float dh_high, float g,
                                float& dot) {
  const uint32_t h = swiglu_pair(gate, up);
  dot += low_bf16(h) * dh_low + high_bf16(h) * dh_high;
  const float a = low_bf16(gate), b = high_bf16(gate), sa = sigmoid(a), sb = sigmoid(b);
  const float da = g * dh_low, db = g * dh_high;
  gate = ptx::pack_bf16(da * low_bf16(up) * silu_slope(a, sa), db * high_bf16(up) * silu_slope(b, sb));
  up = ptx::pack_bf16(da * a * sa, db * b * sb);
  return ptx::pack_bf16(g * low_bf16(h), g * high_bf16(h));
}

}  // namespace rmoe::cuda
