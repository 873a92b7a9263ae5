#include "ops/experts/experts.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "ops/expert_dispatch/kernels.hpp"
#include "ops/experts/kernels.hpp"
#include "ops/grouped_linear/grouped_linear.hpp"
#include "ops/grouped_linear/kernels.hpp"
#include "ops/swiglu/swiglu.hpp"

namespace rmoe {
namespace {

/// Calls a kernel that only a GPU has; nothing on meta.
template <class Function, class... Args>
void call(const Tensor& like, const char* kernel, Function* function, const Args&... args) {
  if (like.device() == Device::cuda) detail::call_cuda(kernel, function, args...);
}

ExpertRows rows_of(const Routes& routes, int64_t E, int64_t F, int64_t C) {
  const bool there = routes.offsets.device() != Device::meta;
  const auto integers = [there](const Tensor& t) { return there ? t.data<int32_t>() : nullptr; };
  return {integers(routes.offsets),
          integers(routes.assignment),
          integers(routes.slot),
          routes.rows,
          routes.tokens,
          routes.top_k,
          E,
          F,
          C};
}

/// What forward and backward share: kept by the closure.
struct Fused {
  Routes routes;
  Tensor x, gates, w1, w3, w2;
  int64_t M, E, F, C;

  ExpertRows rows() const { return rows_of(routes, E, F, C); }
  double product_flops() const { return 2.0 * double(M) * double(F) * double(C); }

  Tensor forward(const Tensor& gate_up) const {
    const Tensor h = empty_like(x, {M, F}), outputs = empty_like(x, {M, C}), y = empty_like(x);
    count_flops(3 * product_flops());
    call(x, "swiglu_experts_fwd", &cuda::swiglu_experts_fwd, gate_up, h, x, w1, w3, rows());
    DISPATCH(x, grouped_linear_fwd, outputs, h, w2, Tensor(), routes.offsets, M, E, C, F);
    DISPATCH(x, expert_combine_fwd, y, outputs, gates, routes.slot, routes.tokens, routes.top_k, C);
    return y;
  }

  void backward(const Tensor& gate_up, const Tensor& dy, Grads& d) const {
    const Tensor d_gate_up = empty_like(x, {M, 2 * F}), gated_h = empty_like(x, {M, F});
    const Tensor dots = empty_like(gates);
    count_flops(product_flops());
    call(x, "swiglu_experts_bwd_hidden", &cuda::swiglu_experts_bwd_hidden, d_gate_up, gated_h, dots, dy, w2,
         gates, gate_up, rows());
    if (d.wants(0)) give_x(d_gate_up, d);
    if (d.wants(1)) d.give(1, dots);
    if (d.wants(2) || d.wants(3)) give_w13(d_gate_up, d);
    if (d.wants(4)) {
      const auto [dw2, beta] = d.place(4);
      count_flops(product_flops());
      call(x, "swiglu_experts_bwd_w2", &cuda::swiglu_experts_bwd_w2, dw2, dy, gated_h, rows(), beta);
    }
  }

 private:
  void give_x(const Tensor& d_gate_up, Grads& d) const {
    const Tensor dx_rows = empty_like(x, {M, C});
    const auto [dx, beta] = d.place(0);
    count_flops(2 * product_flops());
    call(x, "swiglu_experts_bwd_x", &cuda::swiglu_experts_bwd_x, dx_rows, d_gate_up, w1, w3, rows());
    DISPATCH(x, expert_dispatch_bwd, dx, dx_rows, routes.slot, routes.tokens, routes.top_k, C, beta);
  }

  void give_w13(const Tensor& d_gate_up, Grads& d) const {
    const auto [dw1, beta1] = d.wants(2) ? d.place(2) : Place{};
    const auto [dw3, beta3] = d.wants(3) ? d.place(3) : Place{};
    count_flops(2 * product_flops());
    call(x, "swiglu_experts_bwd_w13", &cuda::swiglu_experts_bwd_w13, dw1, dw3, x, d_gate_up, rows(), beta1,
         beta3);
  }
};

void check_shapes(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
                  const Var& w2) {
  RMOE_CHECK(w1.value().rank() == 3, "swiglu_experts: w1 ", w1.shape(), " is not [E,F,C]");
  const int64_t E = w1.dim(0), F = w1.dim(1), C = w1.dim(2);
  RMOE_CHECK(w3.shape() == w1.shape(), "swiglu_experts: w3 ", w3.shape(), " does not fit w1 ", w1.shape());
  RMOE_CHECK(w2.shape() == (Shape{E, C, F}), "swiglu_experts: w2 ", w2.shape(), " does not fit w1 ",
             w1.shape());
  RMOE_CHECK(x.shape() == (Shape{routes.tokens, C}), "swiglu_experts: x ", x.shape(),
             " does not fit routes of ", routes.tokens, " tokens and w1 ", w1.shape());
  RMOE_CHECK(gates.shape() == routes.slot.shape(), "swiglu_experts: gates ", gates.shape(),
             " do not fit routes ", routes.slot.shape());
  RMOE_CHECK(routes.offsets.shape() == Shape{E + 1}, "swiglu_experts: offsets ", routes.offsets.shape(),
             " do not fit w1 ", w1.shape());
}

Var composed(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
             const Var& w2) {
  const Var rows = expert_dispatch(x, routes);                    // [M,C]
  const Var gate = grouped_linear(rows, w1, {}, routes.offsets);  // [M,F]
  const Var up = grouped_linear(rows, w3, {}, routes.offsets);    // [M,F]
  return expert_combine(grouped_linear(swiglu(gate, up), w2, {}, routes.offsets), gates, routes);
}

}  // namespace

Var swiglu_experts(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
                   const Var& w2) {
  check_shapes(x, routes, gates, w1, w3, w2);
  const Tensor X = x.value();
  const int64_t E = w1.dim(0), F = w1.dim(1), C = w1.dim(2), M = routes.rows;
  if (X.dtype() != DType::bf16 || F % 8 != 0 || C % 8 != 0) return composed(x, routes, gates, w1, w3, w2);

  const Fused fused{routes, X, gates.value(), w1.value(), w3.value(), w2.value(), M, E, F, C};
  const Tensor gate_up = empty_like(X, {M, 2 * F});
  return record("swiglu_experts", fused.forward(gate_up), {x, gates, w1, w3, w2},
                [=](const Tensor& dy, Grads& d) { fused.backward(gate_up, dy, d); });
}

}  // namespace rmoe
