#include "ops/elementwise/elementwise.hpp"
#include "ops/rms_norm/rms_norm.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

constexpr double kEps = 1e-5;

Arrays reference(const Arrays& in) {
  const Array &x = in[0], &w = in[1];
  const int64_t C = w.shape[0], N = x.shape.numel() / C;
  Array y(x.shape);
  for (int64_t n = 0; n < N; ++n) {
    double squares = 0;
    for (int64_t c = 0; c < C; ++c) squares += x[n * C + c] * x[n * C + c];
    const double r = 1 / std::sqrt(squares / C + kEps);
    for (int64_t c = 0; c < C; ++c) y[n * C + c] = x[n * C + c] * r * w[c];
  }
  return {y};
}

Vars op(const Vars& in) { return {rms_norm(in[0], in[1], kEps)}; }

void check(const std::string& name, Shape x) {
  check_op({.name = name,
            .inputs = {random(x), random({x[-1]})},
            .op = op,
            .reference = reference,
            .weights = {1}});
}

Arrays add_reference(const Arrays& in) {
  Array sum = in[0];
  for (size_t i = 0; i < sum.data.size(); ++i) sum[i] += in[1][i];
  return {sum, reference({sum, in[2]})[0]};
}

Vars add_op(const Vars& in) {
  const SumAndNorm out = add_rms_norm(in[0], in[1], in[2], kEps);
  return {out.sum, out.y};
}

OpCase add_case(const std::string& name, Shape x, const std::vector<int>& constant = {}) {
  return {.name = name,
          .inputs = {random(x), random(x, -1, 1, 2), random({x[-1]}, -1, 1, 3)},
          .op = add_op,
          .reference = add_reference,
          .constant = constant,
          .weights = {2}};
}

}  // namespace

TEST_CASE("rms_norm") {
  check("2x3x8", {2, 3, 8});
  check("one row of two", {1, 2});
  check("no rows", {0, 5});
  check("prime sizes, several chunks", {67, 31});
  check("rows of whole packs, more than one of each lane's", {5, 520});
  check("several parts of a sum over rows", {523, 3});
}

TEST_CASE("rms_norm: add_rms_norm") {
  check_op(add_case("2x3x8", {2, 3, 8}));
  check_op(add_case("one row of two", {1, 2}));
  check_op(add_case("no rows", {0, 5}));
  check_op(add_case("prime sizes, several chunks", {67, 31}));
  check_op(add_case("rows of whole packs, more than one of each lane's", {5, 520}));
  check_op(add_case("several parts of a sum over rows", {523, 3}));
  for (const std::vector<int>& constant : {std::vector{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}})
    check_op(add_case(concat(constant.size(), " constants, the first ", constant[0]), {3, 4}, constant));
}

TEST_CASE("rms_norm: add_rms_norm of one value with itself") {
  OpCase twice = add_case("x + x", {3, 8});
  twice.inputs.erase(twice.inputs.begin() + 1);
  twice.op = [](const Vars& in) { return add_op({in[0], in[0], in[1]}); };
  twice.reference = [](const Arrays& in) { return add_reference({in[0], in[0], in[1]}); };
  twice.weights = {1};
  check_op(twice);
}

TEST_CASE("rms_norm: the gradient of add_rms_norm's sum is not overwritten where others read it") {
  // The gradient of sum + y arrives as one tensor at both.
  OpCase joined = add_case("sum + y", {7, 8});
  joined.op = [](const Vars& in) {
    const SumAndNorm out = add_rms_norm(in[0], in[1], in[2], kEps);
    return Vars{add(out.sum, out.y)};
  };
  joined.reference = [](const Arrays& in) {
    Arrays out = add_reference(in);
    for (size_t i = 0; i < out[0].data.size(); ++i) out[0][i] += out[1][i];
    return Arrays{out[0]};
  };
  check_op(joined);
}

TEST_CASE("rms_norm: add_rms_norm without a loss on one of its outputs") {
  for (const size_t output : {0, 1}) {
    OpCase one = add_case(concat("output ", output), {7, 8});
    one.op = [=](const Vars& in) { return Vars{add_op(in)[output]}; };
    one.reference = [=](const Arrays& in) { return Arrays{add_reference(in)[output]}; };
    check_op(one);
  }
}

TEST_CASE("rms_norm: add_rms_norm has the bits of add and rms_norm") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape : {Shape{1, 1}, {67, 31}, {9, 320}, {5, 520}}) {
      const auto leaf = [&](Shape s, int seed) {
        return Var::leaf(to_tensor(random(s, -1, 1, seed), dtype));
      };
      const Var x1 = leaf(shape, 1), x2 = leaf(shape, 2), w = leaf({shape[-1]}, 3);
      const Var sum = add(x1, x2);
      const auto apart = values_and_gradients({sum, rms_norm(sum, w, kEps)}, {x1, x2, w});
      CHECK(values_and_gradients(add_op({x1, x2, w}), {x1, x2, w}) == apart);
    }
}

TEST_CASE("rms_norm names the shapes that do not fit") {
  const Var x(zeros({2, 3, 8}, DType::f32)), w(zeros({7}, DType::f32));
  CHECK(error_of([&] { rms_norm(x, w, kEps); }) == "rms_norm: weight [7] does not fit x [2,3,8]");
  CHECK(error_of([&] { add_rms_norm(x, x, w, kEps); }) == "add_rms_norm: weight [7] does not fit x1 [2,3,8]");
  CHECK(error_of([&] { add_rms_norm(x, w, w, kEps); }) == "add_rms_norm: x2 [7] does not fit x1 [2,3,8]");
}

}  // namespace rmoe::test
