#include "ops/linear/linear.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Arrays reference(const Arrays& in) {
  const Array &x = in[0], &w = in[1];
  const int64_t F = w.shape[0], C = w.shape[1], N = x.shape.numel() / C;
  Array y(x.shape.with(-1, F));
  for (int64_t n = 0; n < N; ++n)
    for (int64_t f = 0; f < F; ++f) {
      double sum = in.size() > 2 ? in[2][f] : 0;
      for (int64_t c = 0; c < C; ++c) sum += x[n * C + c] * w[f * C + c];
      y[n * F + f] = sum;
    }
  return {y};
}

Vars op(const Vars& in) { return {linear(in[0], in[1], in.size() > 2 ? in[2] : Var())}; }

void check(const std::string& name, const Arrays& inputs) {
  check_op({.name = name, .inputs = inputs, .op = op, .reference = reference, .weights = {1, 2}});
}

}  // namespace

TEST_CASE("linear") {
  check("2x3x4 -> 5", {random({2, 3, 4}), random({5, 4})});
  check("bias", {random({7, 13}), random({11, 13}, -1, 1, 2), random({11})});
  check("one row, one column", {random({1, 1}), random({1, 1}), random({1})});
  check("no rows", {random({0, 3}), random({2, 3}), random({2})});
  check("several tiles", {random({301, 37}), random({131, 37}), random({131})});
}

TEST_CASE("linear takes a narrower x than its weight") {
  check_op({.name = "bf16 beside fp32",
            .inputs = {random({7, 24}), random({11, 24}, -1, 1, 2), random({11})},
            .op = op,
            .reference = reference,
            .weights = {1, 2},
            .in_fp32 = {1, 2}});
}

TEST_CASE("linear goes back with the bf16 products that it went forward with") {
  check_keeps_products({1, 1}, [](const Var& x, const Var& w) { return linear(x, w); });
}

TEST_CASE("linear names the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  CHECK(error_of([&] { linear(t({2, 3}), t({5, 4})); }) == "linear: weight [5,4] does not fit x [2,3]");
  CHECK(error_of([&] {
          linear(t({2, 3}), t({5, 3}), t({4}));
        }) == "linear: bias [4] does not fit weight [5,3]");
}

}  // namespace rmoe::test
