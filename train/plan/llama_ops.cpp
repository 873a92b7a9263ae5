// The ops of one llama layer. gpu.md section 1.5 is this list at the paper's sizes: 16,384 tokens, C = 1280,
// F = 448, E = 16, K = 4, P = 128.
#include "train/plan/op_list.hpp"

namespace rmoe::plan {
namespace {

constexpr Efficiency kNorm{.good_latency_us = 3, .first_latency_us = 4};
constexpr Efficiency kWide{.good = 0.74, .first = 0.68},
    kWideWeights{.good = 0.70, .first = 0.62};  // q, k, v
constexpr Efficiency kSquare{.good = 0.70, .first = 0.64}, kSquareWeights{.good = 0.65, .first = 0.58};  // o
constexpr Efficiency kAttention{.good = 0.53, .first = 0.38}, kAttentionBack{.good = 0.46, .first = 0.32};
constexpr Efficiency kSort{.good_latency_us = 17, .first_latency_us = 42};
constexpr Efficiency kGather{.good_latency_us = 3, .first_latency_us = 4}, kFused{};
constexpr Efficiency kProjection{.good = 0.35, .first = 0.15}, kGru{.good = 0.20, .first = 0.05};
constexpr Efficiency kRouterBack{.good = 0.25, .first = 0.08};

void add_attention_forward(OpList& ops, const Sizes& s) {
  const double N = ops.N, e = ops.e, C = double(s.C), KV = double(s.KV), T = double(s.T), qkv = C + 2 * KV;
  ops.add("F norm 1 + residual", "norms", 0, 4 * N * C * e, kNorm);
  ops.add("F q, k, v", "projections", 2 * N * C * qkv, (N * C + C * qkv + N * qkv) * e, kWide);
  ops.add("F attention", "attention", 2 * N * T * C, N * (qkv + C) * e,
          kAttention);  // causal: half of T keys
  ops.add("F o", "projections", 2 * N * C * C, (2 * N * C + C * C) * e, kSquare);
  ops.add("F norm 2 + residual", "norms", 0, 4 * N * C * e, kNorm);
}

void add_attention_backward(OpList& ops, const Sizes& s) {
  const double N = ops.N, e = ops.e, C = double(s.C), KV = double(s.KV), T = double(s.T), qkv = C + 2 * KV;
  ops.add("B norm 2", "norms", 0, 4 * N * C * e, kNorm);
  ops.add("B o, dx", "projections", 2 * N * C * C, (2 * N * C + C * C) * e, kSquare);
  ops.add("B o, dw", "projections", 2 * N * C * C, 2 * N * C * e + 8 * C * C, kSquareWeights);
  ops.add("B attention", "attention", 5 * N * T * C, 4 * N * (C + qkv) * e, kAttentionBack);
  ops.add("B q, k, v, dx", "projections", 2 * N * C * qkv, (N * C + C * qkv + N * qkv) * e, kWide);
  ops.add("B q, k, v, dw", "projections", 2 * N * C * qkv, N * (C + qkv) * e + 8 * C * qkv, kWideWeights);
  ops.add("B norm 1", "norms", 0, 4 * N * C * e, kNorm);
}

/// How well the products of a SwiGLU run: forward, then backward.
struct SwigluEfficiency {
  Efficiency first, last, last_dx, last_dw, first_dx, first_dw;
};
constexpr Efficiency kGateUp{.good = 0.60, .first = 0.42}, kDownBack{.good = 0.55, .first = 0.38};
constexpr SwigluEfficiency kGrouped{kGateUp, {.good = 0.55, .first = 0.40}, kDownBack, kDownBack,
                                    kGateUp, {.good = 0.60, .first = 0.40}};
constexpr SwigluEfficiency kDense{kWide, kSquare, kSquare, kSquareWeights, kWide, kWideWeights};

/// A SwiGLU over `rows` rows of width F with `experts` sets of weights; the rows are gathered from N tokens.
struct Swiglu {
  std::string what, group;
  double rows, F, experts;
  const SwigluEfficiency& efficiency;
};

void add_swiglu_forward(OpList& ops, const Swiglu& m, double C) {
  const double e = ops.e, weights = m.experts * m.F * C, rows_F = m.rows * m.F;
  ops.add("F " + m.what + kFirstProducts, m.group, 4 * rows_F * C, (ops.N * C + 2 * weights + 3 * rows_F) * e,
          m.efficiency.first);
  ops.add("F " + m.what + "last product", m.group, 2 * rows_F * C, (rows_F + weights + m.rows * C) * e,
          m.efficiency.last);
}

void add_swiglu_backward(OpList& ops, const Swiglu& m, double C) {
  const double e = ops.e, weights = m.experts * m.F * C, rows_F = m.rows * m.F, last = 2 * rows_F * C;
  ops.add("B " + m.what + "last product, dx", m.group, last, (ops.N * C + weights + 5 * rows_F) * e,
          m.efficiency.last_dx);
  ops.add("B " + m.what + "last product, dw", m.group, last, (rows_F + ops.N * C) * e + 8 * weights,
          m.efficiency.last_dw);
  ops.add("B " + m.what + "first products, dx", m.group, 2 * last,
          (2 * rows_F + 2 * weights + m.rows * C) * e, m.efficiency.first_dx);
  ops.add("B " + m.what + "first products, dw", m.group, 2 * last,
          (ops.N * C + 2 * rows_F) * e + 16 * weights, m.efficiency.first_dw);
}

Swiglu experts_of(const OpList& ops, const Sizes& s) {
  return {"experts, ", "experts", ops.N * double(s.K), double(s.F), double(s.E) / ops.expert_parallel,
          kGrouped};
}

void add_shared(OpList& ops, const Sizes& s, void (*add)(OpList&, const Swiglu&, double)) {
  if (s.shared_width > 0)
    add(ops, {"shared expert, ", "experts", ops.N, double(s.shared_width), 1, kDense}, double(s.C));
}

void add_expert_layer(OpList& ops, const Sizes& s) {
  const double N = ops.N, e = ops.e, C = double(s.C), K = double(s.K);
  add_attention_forward(ops, s);
  add_router_forward(ops, s);
  ops.add("F sort", "dispatch", 0, 32 * N * K, kSort);
  add_swiglu_forward(ops, experts_of(ops, s), C);
  add_shared(ops, s, add_swiglu_forward);
  ops.add("F combine", "dispatch", 0, N * (K + 1) * C * e, kGather);
  ops.add("B weights of the combination", "dispatch", 0, N * C * e + 8 * N * K, kGather);
  add_swiglu_backward(ops, experts_of(ops, s), C);
  add_shared(ops, s, add_swiglu_backward);
  ops.add("B sum over a token's rows", "dispatch", 0, N * (K + 1) * C * e, kFused);
  add_router_backward(ops, s);
  add_attention_backward(ops, s);
}

void add_dense_layer(OpList& ops, const Sizes& s) {
  const Swiglu mlp{"dense, ", "dense layers", ops.N, double(s.dense_width), 1, kDense};
  add_attention_forward(ops, s);
  add_swiglu_forward(ops, mlp, double(s.C));
  add_swiglu_backward(ops, mlp, double(s.C));
  add_attention_backward(ops, s);
}

}  // namespace

void add_router_forward(OpList& ops, const Sizes& s) {
  const double N = ops.N, C = double(s.C), P = double(s.P), small = N * (4 * double(s.E) + 8 * double(s.K));
  const double rest = N * (s.router_fwd - s.router_proj);
  if (s.P == 0) return ops.add("F router", "router", rest, N * C * ops.e + small, kProjection);
  ops.add("F router projection", "router", N * s.router_proj, N * (C * ops.e + 4 * P) + P * C * ops.e,
          kProjection);
  ops.add("F cell, gate, top K", "router", rest, 12 * N * P + small, kGru);
}

void add_router_backward(OpList& ops, const Sizes& s) {
  ops.add("B router", "router", ops.N * s.router_bwd, ops.N * (3 * double(s.C) * ops.e + 12 * double(s.P)),
          kRouterBack);
}

void add_llama_layers(OpList& ops, const Sizes& s) {
  ops.times = double(s.expert_layers);
  if (s.expert_layers > 0) add_expert_layer(ops, s);
  ops.times = double(s.dense_layers());
  if (s.dense_layers() > 0) add_dense_layer(ops, s);
  ops.times = 1;
}

}  // namespace rmoe::plan
