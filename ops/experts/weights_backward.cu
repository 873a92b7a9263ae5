// The gradients of experts' parameters. Of the two factors of a matrix's gradient one is gathered by token
// while it is loaded, and has the tile's rows; the other is sorted by expert.
//   w1, w3    x^T d, stored transposed: hidden units are columns of the tile, of which 112 divide 448 and 896
//   w2        dy^T gated_h
#include "engine/cuda/for_each.cuh"
#include "ops/experts/rows.cuh"
#include "ops/experts/swiglu.cuh"
#include "ops/grouped_linear/group_sums.cuh"

namespace rmoe::cuda {
namespace {

/// Where the gradient of gate_up's columns n goes: rows of dw1 and dw3, [F,C] for each expert.
struct InterleavedGradient {
  float *dw1, *dw3;  // either may be null
  int M, N;          // C, 2 F
  float beta1, beta3;

  DEVICE float* at(int e, int m, int n) const {
    float* dw = (n & 8) != 0 ? dw3 : dw1;
    return dw ? dw + (int64_t(e) * (N / 2) + unit_of_column(n)) * M + m : nullptr;
  }
  DEVICE float2 kept(int e, int m, int n) const {
    const float beta = (n & 8) != 0 ? beta3 : beta1;
    const float* from = at(e, m, n);
    return beta == 0.0f || !from ? make_float2(0.0f, 0.0f) : make_float2(beta * from[0], beta * from[M]);
  }
  DEVICE void store(int e, int m, int n, float2 value) const {
    if (float* to = at(e, m, n)) to[0] = value.x, to[M] = value.y;
  }
};

/// The gradients of all experts, of the rows of tokens and sorted rows.
template <class Gradient>
void multiply_gathered(const Gradient& gradient, const bf16* of_tokens, const bf16* sorted,
                       const ExpertRows& rows) {
  const Scratch<int32_t> found(rows.M);
  int32_t* const tokens = found.data();
  const int32_t* const assignment = rows.assignment;
  const int K = int(rows.K);
  for_each(rows.M, [=] ON_DEVICE(int64_t m) { tokens[m] = max(assignment[m], 0) / K; });  // 0 for nobody's
  multiply_weights(gradient, device_pointer(of_tokens), GatheredRow{tokens}, device_pointer(sorted),
                   groups_of(rows));
}

}  // namespace

template <>
void swiglu_experts_bwd_w13(float* dw1, float* dw3, const bf16* x, const bf16* d_gate_up,
                            const ExpertRows& rows, double beta1, double beta3) {
  const InterleavedGradient gradient{dw1, dw3, int(rows.C), int(2 * rows.F), float(beta1), float(beta3)};
  multiply_gathered(gradient, x, d_gate_up, rows);
}

template <>
void relu_experts_bwd_w1(float* dw1, const bf16* x, const bf16* dz, const ExpertRows& rows, double beta) {
  multiply_gathered(WeightGradient<true>{dw1, int(rows.C), int(rows.F), float(beta)}, x, dz, rows);
}

template <>
void experts_bwd_w2(float* dw2, const bf16* dout, const bf16* gated_h, const ExpertRows& rows, double beta) {
  multiply_gathered(WeightGradient<false>{dw2, int(rows.C), int(rows.F), float(beta)}, dout, gated_h, rows);
}

template <>
void experts_bwd_b2(float* db2, const bf16* dout, const float* gates, const ExpertRows& rows, double beta) {
  const auto* const dy = device_pointer(dout);
  const int32_t* const assignment = rows.assignment;
  const int64_t C = rows.C;
  const int K = int(rows.K);
  sum_groups(db2, groups_of(rows), C, beta, [=] ON_DEVICE(int m, int c) {
    const int i = assignment[m];
    return gates[i] * to_float(dy[int64_t(i / K) * C + c]);
  });
}

}  // namespace rmoe::cuda
