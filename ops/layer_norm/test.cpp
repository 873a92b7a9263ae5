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

TEST_CASE("layer_norm names the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  CHECK(error_of([&] {
          layer_norm(t({2, 3, 8}), t({7}), t({8}), kEps);
        }) == "layer_norm: weight [7] does not fit x [2,3,8]");
  CHECK(error_of([&] {
          layer_norm(t({2, 3, 8}), t({8}), t({1, 8}), kEps);
        }) == "layer_norm: bias [1,8] does not fit x [2,3,8]");
}

}  // namespace rmoe::test
