#include "engine/flops.hpp"
#include "ops/recurrent_cell/recurrent_cell.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// b_row + sum_j w_row,j v_j
double affine(const Array& w, const Array& b, int64_t row, const Array& v, int64_t n) {
  const int64_t width = w.shape[1];
  double sum = b[row];
  for (int64_t j = 0; j < width; ++j) sum += w[row * width + j] * v[n * width + j];
  return sum;
}

/// x, h, w_ih, w_hh, b_ih, b_hh, and c for the LSTM.
Arrays cell_inputs(int64_t gates, int64_t N, int64_t I, int64_t P) {
  Arrays in{random({N, I}, -1, 1, 1),         random({N, P}, -1, 1, 2),      random({gates * P, I}, -1, 1, 3),
            random({gates * P, P}, -1, 1, 4), random({gates * P}, -1, 1, 5), random({gates * P}, -1, 1, 6)};
  if (gates == 4) in.push_back(random({N, P}, -1, 1, 7));
  return in;
}

Arrays gru_reference(const Arrays& in) {
  const Array &x = in[0], &h = in[1], &w_ih = in[2], &w_hh = in[3], &b_ih = in[4], &b_hh = in[5];
  const int64_t N = h.shape[0], P = h.shape[1];
  Array y(h.shape);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t p = 0; p < P; ++p) {
      const double r = sigmoid(affine(w_ih, b_ih, p, x, n) + affine(w_hh, b_hh, p, h, n));
      const double z = sigmoid(affine(w_ih, b_ih, P + p, x, n) + affine(w_hh, b_hh, P + p, h, n));
      const double candidate =
          std::tanh(affine(w_ih, b_ih, 2 * P + p, x, n) + r * affine(w_hh, b_hh, 2 * P + p, h, n));
      y[n * P + p] = (1 - z) * candidate + z * h[n * P + p];
    }
  return {y};
}

Arrays rnn_reference(const Arrays& in) {
  const int64_t N = in[1].shape[0], P = in[1].shape[1];
  Array y(in[1].shape);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t p = 0; p < P; ++p)
      y[n * P + p] = std::tanh(affine(in[2], in[4], p, in[0], n) + affine(in[3], in[5], p, in[1], n));
  return {y};
}

Arrays lstm_reference(const Arrays& in) {
  const int64_t N = in[1].shape[0], P = in[1].shape[1];
  Array y(in[1].shape), c_new(in[1].shape);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t p = 0; p < P; ++p) {
      const auto gate = [&](int64_t g) {
        return affine(in[2], in[4], g * P + p, in[0], n) + affine(in[3], in[5], g * P + p, in[1], n);
      };
      const double c = sigmoid(gate(1)) * in[6][n * P + p] + sigmoid(gate(0)) * std::tanh(gate(2));
      c_new[n * P + p] = c;
      y[n * P + p] = sigmoid(gate(3)) * std::tanh(c);
    }
  return {y, c_new};
}

Vars gru(const Vars& in) { return {gru_cell(in[0], in[1], in[2], in[3], in[4], in[5])}; }
Vars rnn(const Vars& in) { return {rnn_cell(in[0], in[1], in[2], in[3], in[4], in[5])}; }
Vars lstm(const Vars& in) {
  const LstmState state = lstm_cell(in[0], {in[1], in[6]}, in[2], in[3], in[4], in[5]);
  return {state.h, state.c};
}

using Op = Vars (*)(const Vars&);
using Reference = Arrays (*)(const Arrays&);

void check_cell(int64_t gates, Op op, Reference reference) {
  const auto check = [&](int64_t N, int64_t I, int64_t P, std::vector<int> constant = {}) {
    check_op({.name = concat("cell ", Shape{N, I, P}),
              .inputs = cell_inputs(gates, N, I, P),
              .op = op,
              .reference = reference,
              .constant = constant,
              .bf16 = false});
  };
  check(2, 3, 4);
  check(1, 1, 1);
  check(0, 3, 2);
  check(67, 7, 13);
  check(3, 4, 5, {1});           // the first layer: a constant state
  check(3, 4, 5, {2, 3, 4, 5});  // a frozen cell
  check(3, 4, 5, {1, 3, 5});     // only the input side
  check(3, 4, 5, {0, 2, 4});     // only the state side
}

}  // namespace

TEST_CASE("gru_cell") { check_cell(3, gru, gru_reference); }
TEST_CASE("rnn_cell") { check_cell(1, rnn, rnn_reference); }
TEST_CASE("lstm_cell") {
  check_cell(4, lstm, lstm_reference);
  OpCase part{.name = "only c",
              .inputs = cell_inputs(4, 3, 4, 5),
              .op = lstm,
              .reference = lstm_reference,
              .constant = {0, 1, 2, 3, 4, 5},
              .bf16 = false};
  check_op(part);
  part.name = "constant c";
  part.constant = {6};
  check_op(part);
}

TEST_CASE("gru_cell is the router's eq. 2, 3 and 5 with rows in the order s, z, h") {
  const Array x = random({1, 1}), h = random({1, 1}, -1, 1, 2);
  const double W_s = 0.5, W_z = -0.75, W_h = 1.25, b_Ws = 0.125, b_Wz = 0.25, b_Wh = -0.5;
  const double U_s = 0.375, U_z = -1.5, U_h = 0.625, b_Us = -0.25, b_Uz = 0.875, b_Uh = 0.75;
  const auto column = [](double a, double b, double c) {
    return Var(from_vector<double>({a, b, c}, {3, 1}));
  };
  const auto vector = [](double a, double b, double c) { return Var(from_vector<double>({a, b, c}, {3})); };
  const double s = sigmoid(W_s * x[0] + b_Ws + U_s * h[0] + b_Us);
  const double z = sigmoid(W_z * x[0] + b_Wz + U_z * h[0] + b_Uz);
  const double n = std::tanh(W_h * x[0] + b_Wh + s * (U_h * h[0] + b_Uh));
  const Var y = gru_cell(Var(to_tensor(x, DType::f64)), Var(to_tensor(h, DType::f64)), column(W_s, W_z, W_h),
                         column(U_s, U_z, U_h), vector(b_Ws, b_Wz, b_Wh), vector(b_Us, b_Uz, b_Uh));
  CHECK(y.value().item() == doctest::Approx((1 - z) * n + z * h[0]).epsilon(1e-14));
}

TEST_CASE("gru_cell passes the gradient back through a chain of layers") {
  const auto op = [](const Vars& in) {
    Var h = in[1];
    for (int layer = 0; layer < 3; ++layer) h = gru_cell(in[0], h, in[2], in[3], in[4], in[5]);
    return Vars{h};
  };
  const auto reference = [](Arrays in) {
    for (int layer = 0; layer < 3; ++layer) in[1] = gru_reference(in)[0];
    return Arrays{in[1]};
  };
  check_op({.name = "three layers",
            .inputs = cell_inputs(3, 5, 3, 4),
            .op = op,
            .reference = reference,
            .bf16 = false});
}

TEST_CASE("lstm_cell passes both parts of its state through a chain of layers") {
  const auto op = [](const Vars& in) {
    LstmState state{in[1], in[6]};
    for (int layer = 0; layer < 3; ++layer) state = lstm_cell(in[0], state, in[2], in[3], in[4], in[5]);
    return Vars{state.h};  // the last c has no use: its gradient comes as zeros
  };
  const auto reference = [](Arrays in) {
    for (int layer = 0; layer < 3; ++layer) {
      const Arrays state = lstm_reference(in);
      in[1] = state[0];
      in[6] = state[1];
    }
    return Arrays{in[1]};
  };
  check_op({.name = "three layers",
            .inputs = cell_inputs(4, 5, 3, 4),
            .op = op,
            .reference = reference,
            .bf16 = false});
}

TEST_CASE("recurrent cells work without biases") {
  Arrays in = cell_inputs(3, 3, 4, 5);
  in.resize(4);
  const auto op = [](const Vars& v) { return Vars{gru_cell(v[0], v[1], v[2], v[3], {}, {})}; };
  const auto reference = [](Arrays v) {
    v.push_back(Array({15}));
    v.push_back(Array({15}));
    return gru_reference(v);
  };
  check_op({.name = "no biases", .inputs = in, .op = op, .reference = reference, .bf16 = false});
}

TEST_CASE("recurrent cells stay finite where the gates saturate") {
  const auto of = [](Shape shape, double value) { return under_test(full(shape, value, DType::f32)); };
  const Var big(of({2, 3}, 1e4)), h = Var::leaf(of({2, 3}, 0.5)), w(of({9, 3}, 1)), minus_w(of({9, 3}, -1));
  for (const Var& weight : {w, minus_w}) {
    const Var y = gru_cell(big, h, weight, w, {}, {});
    backward({y}, {of({2, 3}, 1)});
    CHECK(first_non_finite(to(y.value(), Device::cpu)) == -1);
    CHECK(first_non_finite(to(h.grad(), Device::cpu)) == -1);
  }
}

TEST_CASE("gru_cell counts two matrix products") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  const double before = flops_counted();
  gru_cell(t({2, 3}), t({2, 4}), t({12, 3}), t({12, 4}), {}, {});
  CHECK(flops_counted() - before == 2 * 2 * 12 * (3 + 4));
}

TEST_CASE("recurrent cells name the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  CHECK(error_of([&] {
          gru_cell(t({2, 3}), t({3, 4}), t({12, 3}), t({12, 4}), {}, {});
        }) == "gru_cell: state [3,4] does not fit x [2,3]");
  CHECK(error_of([&] {
          gru_cell(t({2, 3}), t({2, 4}), t({8, 3}), t({12, 4}), {}, {});
        }) == "gru_cell: w_ih [8,3] does not fit x [2,3] and state [2,4], wanted [12,3]");
  CHECK(error_of([&] {
          rnn_cell(t({2, 3}), t({2, 4}), t({4, 3}), t({4, 3}), {}, {});
        }) == "rnn_cell: w_hh [4,3] does not fit state [2,4], wanted [4,4]");
  CHECK(error_of([&] {
          lstm_cell(t({2, 3}), {t({2, 4}), t({2, 5})}, t({16, 3}), t({16, 4}), {}, {});
        }) == "lstm_cell: c [2,5] does not fit h [2,4]");
}

}  // namespace rmoe::test
