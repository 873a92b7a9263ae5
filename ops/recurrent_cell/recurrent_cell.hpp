#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// Recurrent cells: two matrix products, then one fused pass over the state. With a = x W_ih^T + b_ih and
// u = h W_hh^T + b_hh, cut into one block of P columns per gate (the row blocks of the weights):
// x [N,I], h [N,P], weights [GP,I] and [GP,P], biases [GP] or undefined -> the new state [N,P].

// r = sigmoid(a_r + u_r),  z = sigmoid(a_z + u_z),  n = tanh(a_n + r u_n),  h' = (1 - z) n + z h
// G = 3, order r, z, n: torch.nn.GRUCell's convention.
// Cho et al. 2014; Qiu et al. 2025 (RMoE), eq. 2, 3, 5, where r is called s.
// Backward keeps x, h, the weights, and r, z, n, u_n, fp32 at least.
Var gru_cell(const Var& x, const Var& h, const Var& w_ih, const Var& w_hh, const Var& b_ih, const Var& b_hh);

// h' = tanh(a + u)
// G = 1.
// Elman 1990; torch.nn.RNNCell's convention.
// Backward keeps x, h, the weights and h', fp32 at least.
Var rnn_cell(const Var& x, const Var& h, const Var& w_ih, const Var& w_hh, const Var& b_ih, const Var& b_hh);

struct LstmState {
  Var h, c;  // [N,P]
};

// i, f, o = sigmoid(a + u),  g = tanh(a + u),  c' = f c + i g,  h' = o tanh(c')
// G = 4, order i, f, g, o: torch.nn.LSTMCell's convention. Both parts of the state have gradients.
// Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.
// Backward keeps x, h, c, the weights, and i, f, g, o, tanh(c'), fp32 at least.
LstmState lstm_cell(const Var& x, const LstmState& state, const Var& w_ih, const Var& w_hh, const Var& b_ih,
                    const Var& b_hh);

}  // namespace rmoe
