// The ops of one layer of lm: gpu.md section 1.5's budget of experiment 2, per layer. Its projections,
// experts and attention are narrow (C = 352, D = 44), which the efficiencies show.
#include "train/plan/op_list.hpp"

namespace rmoe::plan {
namespace {

constexpr Efficiency kProjections{.good = 0.36, .first = 0.25};
constexpr Efficiency kSpanAttention{.good = 0.22, .first = 0.105};
constexpr Efficiency kExperts{.good = 0.27, .first = 0.17};
constexpr Efficiency kPasses{.good_latency_us = 3, .first_latency_us = 4};

void add_attention(OpList& ops, const Sizes& s) {
  const double N = ops.N, e = ops.e, C = double(s.C), square = 2 * N * C * C;
  const double past = double(s.S) / double(s.T),
               banded = 2 * N * double(s.S) * C;  // products of exactly S keys
  const double tensor = N * C * e, weights = C * C * e;
  ops.add("F q, o", "projections", 2 * square, 4 * tensor + 2 * weights, kProjections);
  ops.add("F k, v", "projections", 2 * (1 + past) * square, 4 * (1 + past) * tensor + 2 * weights,
          kProjections);
  ops.add("F span attention", "attention", 3 * banded, (2 + 2 * (1 + past)) * tensor, kSpanAttention);
  ops.add("B span attention", "attention", 8 * banded, (6 + 6 * (1 + past)) * tensor, kSpanAttention);
  ops.add("B q, o", "projections", 4 * square, 8 * tensor + 2 * weights + 16 * C * C, kProjections);
  // The memory is a constant: its positions give gradients to the weights alone.
  ops.add("B k, v", "projections", (2 * (1 + past) + 2) * square,
          (4 * (1 + past) + 4) * tensor + 2 * weights + 16 * C * C, kProjections);
}

void add_experts(OpList& ops, const Sizes& s) {
  const double N = ops.N, e = ops.e, C = double(s.C), F = double(s.F), K = double(s.K), rows = N * K;
  const double product = 2 * rows * C * F, weights = 2 * double(s.E) * C * F;
  ops.add(std::string("F experts, ") + kFirstProducts, "experts", product,
          (N * C + rows * F + weights / 2) * e, kExperts);
  ops.add("F experts, last product", "experts", product, (rows * F + rows * C + weights / 2) * e, kExperts);
  ops.add("B experts, dx", "experts", 2 * product, (N * C + 4 * rows * F + rows * C + weights) * e, kExperts);
  ops.add("B experts, dw", "experts", 2 * product, (2 * N * C + 2 * rows * F) * e + 8 * weights, kExperts);
  ops.add("B experts, biases", "experts", 0, (2 * N * C + rows * F) * e, kPasses);
  ops.add("F sort", "dispatch", 0, 32 * rows, kPasses);
}

}  // namespace

void add_lm_layers(OpList& ops, const Sizes& s) {
  const double tensor = ops.N * double(s.C) * ops.e, K = double(s.K);
  ops.times = double(s.L);
  add_attention(ops, s);
  add_router_forward(ops, s);
  add_experts(ops, s);
  add_router_backward(ops, s);
  // Three norms with their residual sums and two dropouts: each reads two tensors and writes one, backward
  // twice that.
  ops.add("F norms, residuals, dropout", "norms", 0, 9 * tensor, kPasses);
  ops.add("F combine", "dispatch", 0, (K + 1) * tensor, kPasses);
  ops.add("B norms, residuals, dropout", "norms", 0, 18 * tensor, kPasses);
  ops.add("B sum over a token's rows", "dispatch", 0, (K + 1) * tensor, kPasses);
  ops.times = 1;
}

}  // namespace rmoe::plan
