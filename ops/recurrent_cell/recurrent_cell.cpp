#include "ops/recurrent_cell/recurrent_cell.hpp"

#include "engine/dispatch.hpp"
#include "ops/linear/linear.hpp"
#include "ops/recurrent_cell/kernels.hpp"

namespace rmoe {
namespace {

struct Products {
  Var a, u;  // [N,GP]
};

/// a = x W_ih^T + b_ih and u = h W_hh^T + b_hh for a cell of `gates` gates.
Products products(const char* cell, int64_t gates, const Var& x, const Var& h, const Var& w_ih,
                  const Var& w_hh, const Var& b_ih, const Var& b_hh) {
  RMOE_CHECK(x.value().rank() == 2 && h.value().rank() == 2 && x.dim(0) == h.dim(0), cell, ": state ",
             h.shape(), " does not fit x ", x.shape());
  const int64_t I = x.dim(1), P = h.dim(1), rows = gates * P;
  RMOE_CHECK(w_ih.shape() == (Shape{rows, I}), cell, ": w_ih ", w_ih.shape(), " does not fit x ", x.shape(),
             " and state ", h.shape(), ", wanted ", Shape{rows, I});
  RMOE_CHECK(w_hh.shape() == (Shape{rows, P}), cell, ": w_hh ", w_hh.shape(), " does not fit state ",
             h.shape(), ", wanted ", Shape{rows, P});
  return {linear(x, w_ih, b_ih), linear(h, w_hh, b_hh)};
}

}  // namespace

Var gru_cell(const Var& x, const Var& h, const Var& w_ih, const Var& w_hh, const Var& b_ih, const Var& b_hh) {
  const auto [a, u] = products("gru_cell", 3, x, h, w_ih, w_hh, b_ih, b_hh);
  const Tensor H = h.value();
  const int64_t N = H.dim(0), P = H.dim(1);

  Tensor y = empty_like(H), kept = empty_like(H, {N, 4 * P}, acc_type(H.dtype()));
  DISPATCH(H, gru_fwd, y, kept, a.value(), u.value(), H, N, P);
  return record("gru_cell", y, {a, u, h}, [=](const Tensor& dy, Grads& d) {
    if (d.wants(0) || d.wants(1)) {
      const Tensor da = empty_like(dy, {N, 3 * P}), du = d.wants(1) ? empty_like(da) : Tensor();
      DISPATCH(H, gru_bwd, da, du, dy, kept, H, N, P);
      d.give(0, da);
      d.give(1, du);
    }
    if (d.wants(2)) {
      const auto [dh, beta] = d.place(2);
      DISPATCH(H, gru_bwd_h, dh, dy, kept, N, P, beta);
    }
  });
}

Var rnn_cell(const Var& x, const Var& h, const Var& w_ih, const Var& w_hh, const Var& b_ih, const Var& b_hh) {
  const auto [a, u] = products("rnn_cell", 1, x, h, w_ih, w_hh, b_ih, b_hh);
  const int64_t N = h.dim(0), P = h.dim(1);

  Tensor y = empty_like(h.value());
  DISPATCH(y, rnn_fwd, y, a.value(), u.value(), N, P);
  return record("rnn_cell", y, {a, u}, [=](const Tensor& dy, Grads& d) {
    const Tensor da = empty_like(dy);
    DISPATCH(y, rnn_bwd, da, dy, y, N, P);
    d.give(0, da);
    d.give(1, da);
  });
}

LstmState lstm_cell(const Var& x, const LstmState& state, const Var& w_ih, const Var& w_hh, const Var& b_ih,
                    const Var& b_hh) {
  const auto [a, u] = products("lstm_cell", 4, x, state.h, w_ih, w_hh, b_ih, b_hh);
  const Tensor C = state.c.value();
  RMOE_CHECK(C.shape() == state.h.shape(), "lstm_cell: c ", C.shape(), " does not fit h ", state.h.shape());
  const int64_t N = C.dim(0), P = C.dim(1);

  Tensor y = empty_like(C), c_new = empty_like(C), kept = empty_like(C, {N, 5 * P}, acc_type(C.dtype()));
  DISPATCH(C, lstm_fwd, y, c_new, kept, a.value(), u.value(), C, N, P);
  const Vars out = record("lstm_cell", {y, c_new}, {a, u, state.c}, [=](const Tensors& dys, Grads& d) {
    if (d.wants(0) || d.wants(1)) {
      const Tensor da = empty_like(dys[0], {N, 4 * P});
      DISPATCH(C, lstm_bwd, da, dys[0], dys[1], kept, C, N, P);
      d.give(0, da);
      d.give(1, da);
    }
    if (d.wants(2)) {
      const auto [dc, beta] = d.place(2);
      DISPATCH(C, lstm_bwd_c, dc, dys[0], dys[1], kept, N, P, beta);
    }
  });
  return {out[0], out[1]};
}

}  // namespace rmoe
