#include "ops/experts/experts.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "engine/gemm.hpp"
#include "ops/activation/activation.hpp"
#include "ops/dropout/dropout.hpp"
#include "ops/expert_dispatch/kernels.hpp"
#include "ops/experts/kernels.hpp"
#include "ops/grouped_linear/grouped_linear.hpp"
#include "ops/grouped_linear/kernels.hpp"
#include "ops/swiglu/swiglu.hpp"

namespace rmoe {
namespace {

/// What forward and backward share, of either kind of experts: kept by the closure.
struct Experts {
  Routes routes;
  Tensor x, gates, w1, w2;
  int64_t M, E, F, C;

  ExpertRows rows() const {
    const bool there = x.device() != Device::meta;
    const auto integers = [there](const Tensor& t) { return there ? t.data<int32_t>() : nullptr; };
    return {integers(routes.offsets),
            integers(routes.assignment),
            integers(routes.slot),
            M,
            routes.tokens,
            routes.top_k,
            E,
            F,
            C};
  }

  void count_products(int products) const { count_flops(products * 2.0 * double(M) * double(F) * double(C)); }

  Tensor combine(const Tensor& outputs) const {
    const Tensor y = empty_like(x);
    DISPATCH(x, expert_combine_fwd, y, outputs, gates, routes.slot, routes.tokens, routes.top_k, C);
    return y;
  }

  void add_rows(const Tensor& dx_rows, const Place& dx) const {
    DISPATCH(x, expert_dispatch_bwd, dx.into, dx_rows, routes.slot, routes.tokens, routes.top_k, C, dx.beta);
  }

  void give_w2(const Tensor& dy, const Tensor& gated_h, int input, Grads& d) const {
    if (!d.wants(input)) return;
    const auto [dw2, beta] = d.place(input);
    count_products(1);
    DISPATCH(x, experts_bwd_w2, dw2, dy, gated_h, rows(), beta);
  }
};

/// Inputs x, gates, w1, w3, w2.
struct SwigluExperts : Experts {
  Tensor w3;

  Tensor forward(const Tensor& gate_up) const {
    const Tensor outputs = empty_like(x, {M, C});
    count_products(3);
    DISPATCH(x, swiglu_experts_fwd, gate_up, outputs, x, w1, w3, w2, rows());
    return combine(outputs);
  }

  void backward(const Tensor& gate_up, const Tensor& dy, Grads& d) const {
    const Tensor d_gate_up = empty_like(x, {M, 2 * F}), gated_h = empty_like(x, {M, F});
    const Tensor dots = empty_like(gates);
    count_products(1);
    DISPATCH(x, swiglu_experts_bwd_hidden, d_gate_up, gated_h, dots, dy, w2, gates, gate_up, rows());
    if (d.wants(0)) {
      const Tensor dx_rows = empty_like(x, {M, C});
      count_products(2);
      DISPATCH(x, swiglu_experts_bwd_x, dx_rows, d_gate_up, w1, w3, rows());
      add_rows(dx_rows, d.place(0));
    }
    if (d.wants(1)) d.give(1, dots);
    if (d.wants(2) || d.wants(3)) give_w13(d_gate_up, d);
    give_w2(dy, gated_h, 4, d);
  }

 private:
  void give_w13(const Tensor& d_gate_up, Grads& d) const {
    const auto [dw1, beta1] = d.wants(2) ? d.place(2) : Place{};
    const auto [dw3, beta3] = d.wants(3) ? d.place(3) : Place{};
    count_products(2);
    DISPATCH(x, swiglu_experts_bwd_w13, dw1, dw3, x, d_gate_up, rows(), beta1, beta3);
  }
};

/// Inputs x, gates, w1, b1, w2, b2.
struct ReluExperts : Experts {
  Tensor b1, b2;
  ExpertDropout dropout;

  Tensor forward(const Tensor& h) const {
    const Tensor outputs = empty_like(x, {M, C});
    count_products(2);
    DISPATCH(x, relu_experts_fwd, h, outputs, x, w1, b1, w2, b2, rows(), dropout);
    return combine(outputs);
  }

  void backward(const Tensor& h, const Tensor& dy, Grads& d) const {
    const Tensor dz = empty_like(h), gated_h = empty_like(h), dots = empty_like(gates);
    count_products(1);
    DISPATCH(x, relu_experts_bwd_hidden, dz, gated_h, dots, dy, w2, b2, gates, h, rows(), dropout.p);
    if (d.wants(0)) {
      const Tensor dx_rows = empty_like(x, {M, C});
      count_products(1);
      DISPATCH(x, grouped_linear_bwd_x, dx_rows, dz, w1, routes.offsets, M, E, F, C, 0.0);
      add_rows(dx_rows, d.place(0));
    }
    if (d.wants(1)) d.give(1, dots);
    if (d.wants(2)) {
      const auto [dw1, beta] = d.place(2);
      count_products(1);
      DISPATCH(x, relu_experts_bwd_w1, dw1, x, dz, rows(), beta);
    }
    if (d.wants(3)) {
      const auto [db1, beta] = d.place(3);
      DISPATCH(x, grouped_linear_bwd_b, db1, dz, routes.offsets, E, F, beta);
    }
    give_w2(dy, gated_h, 4, d);
    if (d.wants(5)) {
      const auto [db2, beta] = d.place(5);
      DISPATCH(x, experts_bwd_b2, db2, dy, gates, rows(), beta);
    }
  }
};

/// Whose products the CPU's kernels do not round to bf16. On meta, whichever device it stands for.
bool fuses_on_cpu(const Tensor& x) { return x.device() == Device::cpu && !Bf16Products::on(); }
bool fuses_on_gpu(const Tensor& x, int64_t F, int64_t C) {
  return x.dtype() == DType::bf16 && F % 8 == 0 && C % 8 == 0;
}

void check_shapes(const char* op, const Var& x, const Routes& routes, const Var& gates, const Var& w1,
                  const Var& w2) {
  RMOE_CHECK(w1.value().rank() == 3, op, ": w1 ", w1.shape(), " is not [E,F,C]");
  const int64_t E = w1.dim(0), F = w1.dim(1), C = w1.dim(2);
  RMOE_CHECK(w2.shape() == (Shape{E, C, F}), op, ": w2 ", w2.shape(), " does not fit w1 ", w1.shape());
  RMOE_CHECK(x.shape() == (Shape{routes.tokens, C}), op, ": x ", x.shape(), " does not fit routes of ",
             routes.tokens, " tokens and w1 ", w1.shape());
  RMOE_CHECK(gates.shape() == routes.slot.shape(), op, ": gates ", gates.shape(), " do not fit routes ",
             routes.slot.shape());
  RMOE_CHECK(routes.offsets.shape() == Shape{E + 1}, op, ": offsets ", routes.offsets.shape(),
             " do not fit w1 ", w1.shape());
}

Experts experts_of(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w2) {
  return {routes,      x.value(), gates.value(), w1.value(), w2.value(),
          routes.rows, w1.dim(0), w1.dim(1),     w1.dim(2)};
}

Var composed_swiglu(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
                    const Var& w2) {
  const Var rows = expert_dispatch(x, routes);                    // [M,C]
  const Var gate = grouped_linear(rows, w1, {}, routes.offsets);  // [M,F]
  const Var up = grouped_linear(rows, w3, {}, routes.offsets);    // [M,F]
  return expert_combine(grouped_linear(swiglu(gate, up), w2, {}, routes.offsets), gates, routes);
}

Var composed_relu(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& b1,
                  const Var& w2, const Var& b2, double p, const RandomStream& random) {
  const Var h = relu(grouped_linear(expert_dispatch(x, routes), w1, b1, routes.offsets));  // [M,F]
  const Var dropped = dropout(h, p, random, routes.assignment);
  return expert_combine(grouped_linear(dropped, w2, b2, routes.offsets), gates, routes);
}

}  // namespace

Var swiglu_experts(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
                   const Var& w2) {
  check_shapes("swiglu_experts", x, routes, gates, w1, w2);
  RMOE_CHECK(w3.shape() == w1.shape(), "swiglu_experts: w3 ", w3.shape(), " does not fit w1 ", w1.shape());
  const SwigluExperts experts{experts_of(x, routes, gates, w1, w2), w3.value()};
  if (!fuses_on_cpu(experts.x) && !fuses_on_gpu(experts.x, experts.F, experts.C))
    return composed_swiglu(x, routes, gates, w1, w3, w2);

  const Tensor gate_up = empty_like(experts.x, {experts.M, 2 * experts.F});
  return record("swiglu_experts", experts.forward(gate_up), {x, gates, w1, w3, w2},
                [=](const Tensor& dy, Grads& d) { experts.backward(gate_up, dy, d); });
}

Var relu_experts(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& b1,
                 const Var& w2, const Var& b2, double p, const RandomStream& random) {
  check_shapes("relu_experts", x, routes, gates, w1, w2);
  const int64_t E = w1.dim(0), F = w1.dim(1), C = w1.dim(2);
  RMOE_CHECK(b1.shape() == (Shape{E, F}), "relu_experts: b1 ", b1.shape(), " does not fit w1 ", w1.shape());
  RMOE_CHECK(b2.shape() == (Shape{E, C}), "relu_experts: b2 ", b2.shape(), " does not fit w1 ", w1.shape());
  RMOE_CHECK(p >= 0 && p < 1, "relu_experts: p ", p, " is not in [0, 1)");
  const ReluExperts experts{experts_of(x, routes, gates, w1, w2),
                            b1.value(),
                            b2.value(),
                            {p, random.seed, random.stream, random.offset}};
  if (!fuses_on_cpu(experts.x)) return composed_relu(x, routes, gates, w1, b1, w2, b2, p, random);

  const Tensor h = empty_like(experts.x, {experts.M, F});
  return record("relu_experts", experts.forward(h), {x, gates, w1, b1, w2, b2},
                [=](const Tensor& dy, Grads& d) { experts.backward(h, dy, d); });
}

}  // namespace rmoe
