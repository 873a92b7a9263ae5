#include "models/router/cell.hpp"

#include "ops/recurrent_cell/recurrent_cell.hpp"

namespace rmoe {
namespace {

RouterState gru(const Var& x, const RouterState& s, const CellWeights& w) {
  return {.h = gru_cell(x, s.h, w.ih, w.hh, w.bias_ih, w.bias_hh)};
}

RouterState rnn(const Var& x, const RouterState& s, const CellWeights& w) {
  return {.h = rnn_cell(x, s.h, w.ih, w.hh, w.bias_ih, w.bias_hh)};
}

RouterState lstm(const Var& x, const RouterState& s, const CellWeights& w) {
  const LstmState next = lstm_cell(x, {s.h, s.c}, w.ih, w.hh, w.bias_ih, w.bias_hh);
  return {.h = next.h, .c = next.c};
}

/// torch starts all four alike, from the size of the state.
CellWeights make_weights(const Scope& scope, int64_t gates, int64_t I, int64_t P) {
  const Init init = Init::fan_in(P);
  return {.ih = scope.parameter("weight_ih", {gates * P, I}, init),
          .hh = scope.parameter("weight_hh", {gates * P, P}, init),
          .bias_ih = scope.parameter("bias_ih", {gates * P}, init),
          .bias_hh = scope.parameter("bias_hh", {gates * P}, init)};
}

}  // namespace

const CellKind kGru{.gates = 3, .has_c = false, .step = gru};
const CellKind kRnn{.gates = 1, .has_c = false, .step = rnn};
const CellKind kLstm{.gates = 4, .has_c = true, .step = lstm};

RouterCell::RouterCell(const Scope& scope, const CellKind& kind, int64_t I, int64_t P)
    : kind_(kind), weights_(make_weights(scope, kind.gates, I, P)) {}

RouterState RouterCell::initial_state(int64_t N) const {
  const Tensor& w = weights_.hh.value();
  const Var zero(zeros({N, P()}, acc_type(w.dtype()), w.device()));
  return {.h = zero, .c = kind_.has_c ? zero : Var()};
}

RouterState RouterCell::operator()(const Var& x, const RouterState& state) const {
  return kind_.step(x, state.h ? state : initial_state(x.dim(0)), weights_);
}

}  // namespace rmoe
