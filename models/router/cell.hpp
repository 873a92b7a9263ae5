// The recurrent cell that all layers' routers share. Its state runs over LAYERS, never over time: every token
// has its own.
#pragma once

#include "models/scope.hpp"

#include <vector>

namespace rmoe {

/// What passes from one layer's router to the next. Undefined parts are not used, or are still zero.
struct RouterState {
  Var h = {};       // [N,P]
  Var c = {};       // [N,P], of an LSTM
  Var logits = {};  // [N,E], the layer's own term, where the next gate adds it
};

/// Weights in torch's layout for a cell of G gates (GRU 3, RNN 1, LSTM 4).
struct CellWeights {
  Var ih;                // [GP,I]
  Var hh;                // [GP,P]
  Var bias_ih, bias_hh;  // [GP]
};

struct CellKind {
  int gates;
  bool has_c;
  RouterState (*step)(const Var& x, const RouterState& state, const CellWeights& weights);
};
extern const CellKind kGru, kRnn, kLstm;

class RouterCell {
 public:
  /// x [N,I] -> h [N,P]
  RouterCell(const Scope& scope, const CellKind& kind, int64_t I, int64_t P);
  /// One layer further; an undefined state is h_0 = 0.
  RouterState operator()(const Var& x, const RouterState& state) const;
  int64_t P() const { return weights_.hh.dim(1); }

 private:
  RouterState initial_state(int64_t N) const;

  CellKind kind_;
  CellWeights weights_;
};

}  // namespace rmoe
