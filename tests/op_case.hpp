// The op-case harness: one description of an op on concrete inputs, many checks.
//
//   TEST_CASE("linear") {
//     check_op({"linear 3x5", {random({3, 4}), random({5, 4})},
//               [](const Vars& in) { return Vars{linear(in[0], in[1])}; },
//               [](const Arrays& in) { return Arrays{naive_linear(in[0], in[1])}; }});
//   }
//
// checks, for every case: the value in double and in float against an independent double-precision reference;
// the gradient in double against finite differences with a random cotangent, to 1e-7; the gradient in float
// against the one in double; equal bits with 1, 2 and 3 threads and on a second run; gradients added to what
// is there already; inputs left as they were; shapes on meta equal to shapes on the CPU. Buffers start as NaN
// and have guard bands (tests/main.cpp). In a program with a GPU, real or emulated, the same case is run
// there instead, in float and in bf16: values against the same reference, gradients against the CPU's in
// double, equal bits on a second run.
#pragma once

#include "autograd/gradcheck.hpp"

#include <functional>
#include <string>
#include <vector>

namespace rmoe::test {

/// A plain array of doubles with a shape: what references compute with, independent of the engine.
struct Array {
  Shape shape;
  std::vector<double> data;

  Array() = default;
  explicit Array(Shape s, double value = 0) : shape(s), data(s.numel(), value) {}
  double& operator[](int64_t i) { return data[i]; }
  double operator[](int64_t i) const { return data[i]; }
};
using Arrays = std::vector<Array>;

/// Uniform values in [low, high), the same for the same seed and shape, exactly representable in float.
Array random(Shape shape, double low = -1, double high = 1, uint64_t seed = 1);

struct OpCase {
  std::string name;
  Arrays inputs;
  std::function<Vars(const Vars&)> op;
  std::function<Arrays(const Arrays&)> reference;
  std::vector<int> constant = {};      // inputs that take no gradient
  double float_tolerance = 2e-6;       // relative to the largest value of the output
  double float_grad_tolerance = 2e-5;  // relative to the largest value of the gradient
  double step = 1e-4;                  // of the finite differences: smaller near kinks
  bool on_meta = true;
  // On a GPU with bf16 values:
  bool bf16 = true;               // is there such a kernel?
  std::vector<int> weights = {};  // inputs that are parameters: their gradients are fp32 all the same
  std::vector<int> in_fp32 = {};  // inputs that stay fp32 beside bf16 values
  double bf16_tolerance = 1e-2;   // relative to the largest value, for gradients too
};

void check_op(const OpCase& op_case);

/// For one value times a weight of one element: backward multiplies as forward did (Bf16Products).
void check_keeps_products(Shape weight, const std::function<Var(const Var& x, const Var& w)>& product);

/// Values of outputs and gradients of leaves, under a random cotangent: for what must be the same bit by bit.
/// The leaves' are zero afterwards.
std::vector<std::vector<double>> values_and_gradients(const Vars& outputs, const Vars& leaves);

/// Integers on the device of x, for ops that take both.
Tensor beside(const Var& x, const Tensor& integers);

/// x where check_op() runs: on the GPU of this program, if it has one. For what a table cannot say.
Tensor under_test(const Tensor& x);

/// The text of the error that f throws; a failed check if it throws none.
std::string error_of(const std::function<void()>& f);

Tensor to_tensor(const Array& array, DType dtype);
Array to_array(const Tensor& tensor);

}  // namespace rmoe::test
