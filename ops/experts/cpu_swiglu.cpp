#include "engine/math.hpp"
#include "ops/experts/blocks.hpp"
#include "ops/swiglu/kernels.hpp"

namespace rmoe::cpu {
namespace {

/// One row: the gradients of gate and up for g dh, g h into gated_h; returns <h, dh>.
template <class T>
T backward_row(T* d_gate, T* d_up, T* gated_h, const T* gate, const T* up, const T* dh, T g, int64_t F) {
  T dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t f = 0; f < F; ++f) {
    const T s = math::sigmoid(gate[f]), silu = gate[f] * s, h = silu * up[f], gated = g * dh[f];
    dot += h * dh[f];
    gated_h[f] = g * h;
    d_up[f] = gated * silu;
    d_gate[f] = gated * up[f] * s * (T(1) + gate[f] * (T(1) - s));
  }
  return dot;
}

}  // namespace

template <class T>
void swiglu_experts_fwd(T* gate_up, T* outputs, const T* x, const T* w1, const T* w3, const T* w2,
                        const ExpertRows& rows) {
  const int64_t F = rows.F, C = rows.C;
  T *gate = gate_up, *up = gate_up + rows.M * F;
  for_expert_parts(rows, [=](const RowBlock& part) {
    const int64_t weights = part.expert * F * C;
    const PackedMatrix<T> of_gate(C, F), of_up(C, F), of_output(F, C);
    of_gate.pack(Trans::yes, w1 + weights, C, F);
    of_up.pack(Trans::yes, w3 + weights, C, F);
    of_output.pack(Trans::yes, w2 + weights, F, C);
    for_blocks(part, [&](const RowBlock& block) {
      const int64_t n = block.count, at = block.begin * F;
      const Scratch<T> inputs(kBlockRows * C), h(kBlockRows * F);
      gather(inputs.data(), x, rows, block);
      gemm_serial<T>(Trans::no, n, inputs.data(), C, of_gate, {0, C, 0, F}, 0, gate + at, F);
      gemm_serial<T>(Trans::no, n, inputs.data(), C, of_up, {0, C, 0, F}, 0, up + at, F);
      swiglu_fwd<T>(h.data(), gate + at, up + at, n * F);
      gemm_serial<T>(Trans::no, n, h.data(), F, of_output, {0, F, 0, C}, 0, outputs + block.begin * C, C);
    });
  });
}

template <class T>
void swiglu_experts_bwd_hidden(T* d_gate_up, T* gated_h, acc_t<T>* dots, const T* dout, const T* w2,
                               const acc_t<T>* gates, const T* gate_up, const ExpertRows& rows) {
  const int64_t F = rows.F, ups = rows.M * F;
  for_hidden_gradients(dots, dout, w2, gates, rows, [=](int64_t m, int64_t, const T*, const T* dh, T gate) {
    const int64_t at = m * F;
    return backward_row(d_gate_up + at, d_gate_up + ups + at, gated_h + at, gate_up + at, gate_up + ups + at,
                        dh, gate, F);
  });
}

template <class T>
void swiglu_experts_bwd_x(T* dx_rows, const T* d_gate_up, const T* w1, const T* w3, const ExpertRows& rows) {
  const int64_t F = rows.F, C = rows.C;
  const T *d_gate = d_gate_up, *d_up = d_gate_up + rows.M * F;
  for_expert_blocks(rows, [=](const RowBlock& block) {
    const auto [e, begin, n] = block;
    T* dx = dx_rows + begin * C;
    gemm_serial<T>(Trans::no, Trans::no, n, C, F, d_gate + begin * F, F, w1 + e * F * C, C, 0, dx, C);
    gemm_serial<T>(Trans::no, Trans::no, n, C, F, d_up + begin * F, F, w3 + e * F * C, C, 1, dx, C);
  });
}

template <class T>
void swiglu_experts_bwd_w13(acc_t<T>* dw1, acc_t<T>* dw3, const T* x, const T* d_gate_up,
                            const ExpertRows& rows, double beta1, double beta3) {
  for_gathered_columns(x, rows, [=](const GatheredColumns<T>& columns) {
    if (dw1) add_to_weights(dw1, d_gate_up, columns, rows, rows.F, beta1);
    if (dw3) add_to_weights(dw3, d_gate_up + rows.M * rows.F, columns, rows, rows.F, beta3);
  });
}

#define RMOE_INSTANTIATE(T)                                                                               \
  template void swiglu_experts_fwd<T>(T*, T*, const T*, const T*, const T*, const T*, const ExpertRows&); \
  template void swiglu_experts_bwd_hidden<T>(T*, T*, acc_t<T>*, const T*, const T*, const acc_t<T>*,      \
                                             const T*, const ExpertRows&);                                \
  template void swiglu_experts_bwd_x<T>(T*, const T*, const T*, const T*, const ExpertRows&);             \
  template void swiglu_experts_bwd_w13<T>(acc_t<T>*, acc_t<T>*, const T*, const T*, const ExpertRows&,    \
                                          double, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
