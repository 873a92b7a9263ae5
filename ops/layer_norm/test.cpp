#include "ops/elementwise/elementwise.hpp"
#include "ops/layer_norm/layer_norm.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

constexpr double kEps = 1e-5;

Arrays reference(const Arrays& in) {
  const Array &x = in[0], &w = in[1], &b = in[2];
  const int64_t C = w.shape[0], N = x.shape.numel() / C;
  Array y(x.shape);
  for (int64_t n = 0; n < N; ++n) {
    double mean = 0, variance = 0;
    for (int64_t c = 0; c < C; ++c) mean += x[n * C + c] / C;
    for (int64_t c = 0; c < C; ++c) variance += std::pow(x[n * C + c] - mean, 2) / C;
    for (int64_t c = 0; c < C; ++c)
      y[n * C + c] = (x[n * C + c] - mean) / std::sqrt(variance + kEps) * w[c] + b[c];
  }
  return {y};
}

Vars op(const Vars& in) { return {layer_norm(in[0], in[1], in[2], kEps)}; }

Arrays inputs(Shape x, double low = -1, double high = 1) {
  const int64_t C = x[-1];
  return {random(x, low, high), random({C}, -1, 1, 2), random({C}, -1, 1, 3)};
}

OpCase norm_case(const std::string& name, const Arrays& in) {
  return {.name = name, .inputs = in, .op = op, .reference = reference, .weights = {1, 2}};
}

Arrays add_reference(const Arrays& in) {
  Array sum = in[0];
  for (size_t i = 0; i < sum.data.size(); ++i) sum[i] += in[1][i];
  return reference({sum, in[2], in[3]});
}

Vars add_op(const Vars& in) { return {add_layer_norm(in[0], in[1], in[2], in[3], kEps)}; }

OpCase add_case(const std::string& name, Shape x, const std::vector<int>& constant = {}) {
  Arrays in = inputs(x);
  in.insert(in.begin() + 1, random(x, -1, 1, 4));
  return {.name = name,
          .inputs = in,
          .op = add_op,
          .reference = add_reference,
          .constant = constant,
          .weights = {2, 3}};
}

}  // namespace

TEST_CASE("layer_norm") {
  check_op(norm_case("2x3x8", inputs({2, 3, 8})));
  // y is near -1, 1 for any x, or b: dx all but cancels, or cancels.
  OpCase two = norm_case("one row of two", inputs({1, 2})), one = norm_case("one column", inputs({3, 1}));
  two.float_grad_tolerance = one.float_grad_tolerance = 2e-3;
  two.bf16 = false;
  check_op(two);
  check_op(one);
  check_op(norm_case("no rows", inputs({0, 5})));
  check_op(norm_case("prime sizes, several chunks", inputs({67, 31})));
  check_op(norm_case("rows of whole packs, more than one of each lane's", inputs({5, 520})));
  check_op(norm_case("several parts of a sum over rows", inputs({523, 3})));
}

TEST_CASE("layer_norm keeps its digits when the mean is large") {
  // x^2 is near 1e4 and the variance near 0.08: mean(x^2) - mean(x)^2 would be off by a percent in float.
  OpCase far = norm_case("mean 100", inputs({5, 64}, 100, 101));
  far.float_tolerance = far.float_grad_tolerance = 1e-4;
  check_op(far);
}

TEST_CASE("layer_norm: add_layer_norm") {
  check_op(add_case("2x3x8", {2, 3, 8}));
  check_op(add_case("no rows", {0, 5}));
  check_op(add_case("prime sizes, several chunks", {67, 31}));
  check_op(add_case("rows of whole packs, more than one of each lane's", {5, 520}));
  // Of three columns a sum in bf16 may leave little to tell apart.
  check_op(add_case("several parts of a sum over rows", {523, 11}));
  for (const std::vector<int>& constant : {std::vector{0}, {1}, {2}, {3}, {0, 1}, {2, 3}, {0, 1, 2, 3}})
    check_op(add_case(concat(constant.size(), " constants, the first ", constant[0]), {3, 4}, constant));
}

TEST_CASE("layer_norm: add_layer_norm where values are read twice") {
  OpCase twice = add_case("x + x", {3, 8});
  twice.inputs.erase(twice.inputs.begin() + 1);
  twice.op = [](const Vars& in) { return add_op({in[0], in[0], in[1], in[2]}); };
  twice.reference = [](const Arrays& in) { return add_reference({in[0], in[0], in[1], in[2]}); };
  twice.weights = {1, 2};
  check_op(twice);
  // The two norms around a feed-forward: y = LN(x1 + m), m = LN(x1 + x2).
  OpCase both = add_case("y = LN(x1 + LN(x1 + x2))", {7, 8});
  both.op = [](const Vars& in) { return add_op({in[0], add_op(in)[0], in[2], in[3]}); };
  both.reference = [](const Arrays& in) {
    return add_reference({in[0], add_reference(in)[0], in[2], in[3]});
  };
  check_op(both);
}

TEST_CASE("layer_norm: add_layer_norm has the bits of add and layer_norm") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape : {Shape{1, 1}, {67, 31}, {9, 352}, {5, 520}}) {
      const auto leaf = [&](Shape s, int seed) {
        return Var::leaf(to_tensor(random(s, -1, 1, seed), dtype));
      };
      const Var x1 = leaf(shape, 1), x2 = leaf(shape, 2), w = leaf({shape[-1]}, 3), b = leaf({shape[-1]}, 4);
      const auto apart = values_and_gradients({layer_norm(add(x1, x2), w, b, kEps)}, {x1, x2, w, b});
      CHECK(values_and_gradients(add_op({x1, x2, w, b}), {x1, x2, w, b}) == apart);
    }
}

TEST_CASE("layer_norm names the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  CHECK(error_of([&] {
          layer_norm(t({2, 3, 8}), t({7}), t({8}), kEps);
        }) == "layer_norm: weight [7] does not fit x [2,3,8]");
  CHECK(error_of([&] {
          layer_norm(t({2, 3, 8}), t({8}), t({1, 8}), kEps);
        }) == "layer_norm: bias [1,8] does not fit x [2,3,8]");
  CHECK(error_of([&] {
          add_layer_norm(t({2, 3, 8}), t({2, 3, 7}), t({8}), t({8}), kEps);
        }) == "add_layer_norm: x2 [2,3,7] does not fit x1 [2,3,8]");
  CHECK(error_of([&] {
          add_layer_norm(t({2, 3, 8}), t({2, 3, 8}), t({8}), t({1, 8}), kEps);
        }) == "add_layer_norm: bias [1,8] does not fit x1 [2,3,8]");
}

}  // namespace rmoe::test
