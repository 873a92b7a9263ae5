#include "ops/dropout/kernels.hpp"
#include "ops/experts/blocks.hpp"

namespace rmoe::cpu {
namespace {

/// h = dropout(relu(h)) of a block. Written this way round NaN stays NaN.
template <class T>
void activate(T* h, const ExpertRows& rows, const RowBlock& block, const ExpertDropout& dropout) {
  const int64_t n = block.count * rows.F;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) h[i] = h[i] < T(0) ? T(0) : h[i];
  if (dropout.p > 0)
    dropout_into<T>(h, h, rows.assignment + block.begin, block.count, rows.F, dropout.p, dropout.seed,
                    dropout.stream, dropout.offset, 0);
}

/// One row: dz for g dh, g h into gated_h; returns <h, dh>.
template <class T>
T backward_row(T* dz, T* gated_h, const T* h, const T* dh, T g, T scale, int64_t F) {
  T dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t f = 0; f < F; ++f) {
    dot += h[f] * dh[f];
    gated_h[f] = g * h[f];
    const T slope = h[f] > T(0) ? scale : T(0);
    dz[f] = g * dh[f] * slope;
  }
  return dot;
}

template <class T>
T product(const T* a, const T* b, int64_t n) {
  T dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < n; ++i) dot += a[i] * b[i];
  return dot;
}

}  // namespace

template <class T>
void relu_experts_fwd(T* h, T* outputs, const T* x, const T* w1, const T* b1, const T* w2, const T* b2,
                      const ExpertRows& rows, const ExpertDropout& dropout) {
  const int64_t F = rows.F, C = rows.C;
  for_expert_parts(rows, [&](const RowBlock& part) {
    const int64_t e = part.expert, weights = e * F * C;
    const PackedMatrix<T> of_hidden(C, F), of_output(F, C);
    of_hidden.pack(Trans::yes, w1 + weights, C, F);
    of_output.pack(Trans::yes, w2 + weights, F, C);
    for_blocks(part, [&](const RowBlock& block) {
      const int64_t n = block.count;
      const Scratch<T> inputs(kBlockRows * C);
      T* hidden = h + block.begin * F;
      gather(inputs.data(), x, rows, block);
      gemm_serial<T>(Trans::no, n, inputs.data(), C, of_hidden, {0, C, 0, F}, 0, hidden, F, b1 + e * F);
      activate(hidden, rows, block, dropout);
      gemm_serial<T>(Trans::no, n, hidden, F, of_output, {0, F, 0, C}, 0, outputs + block.begin * C, C,
                     b2 + e * C);
    });
  });
}

template <class T>
void relu_experts_bwd_hidden(T* dz, T* gated_h, acc_t<T>* dots, const T* dout, const T* w2, const T* b2,
                             const acc_t<T>* gates, const T* h, const ExpertRows& rows, double p) {
  const int64_t F = rows.F, C = rows.C;
  const T scale = T(1 / (1 - p));
  for_hidden_gradients(
      dots, dout, w2, gates, rows, [=](int64_t m, int64_t e, const T* dy, const T* dh, T gate) {
        const int64_t at = m * F;
        return backward_row(dz + at, gated_h + at, h + at, dh, gate, scale, F) + product(b2 + e * C, dy, C);
      });
}

template <class T>
void relu_experts_bwd_w1(acc_t<T>* dw1, const T* x, const T* dz, const ExpertRows& rows, double beta) {
  for_gathered_columns(x, rows, [=](const GatheredColumns<T>& columns) {
    add_to_weights(dw1, dz, columns, rows, rows.F, beta);
  });
}

#define RMOE_INSTANTIATE(T)                                                                                  \
  template void relu_experts_fwd<T>(T*, T*, const T*, const T*, const T*, const T*, const T*,                \
                                    const ExpertRows&, const ExpertDropout&);                                \
  template void relu_experts_bwd_hidden<T>(T*, T*, acc_t<T>*, const T*, const T*, const T*, const acc_t<T>*, \
                                           const T*, const ExpertRows&, double);                             \
  template void relu_experts_bwd_w1<T>(acc_t<T>*, const T*, const T*, const ExpertRows&, double);

RMOE_INSTANTIATE(float)
RMOE_INSTANTIATE(double)

}  // namespace rmoe::cpu
