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

}  // namespace

TEST_CASE("rms_norm") {
  check_op({"2x3x8", {random({2, 3, 8}), random({8})}, op, reference});
  check_op({"one row of two", {random({1, 2}), random({2})}, op, reference});
  check_op({"no rows", {random({0, 5}), random({5})}, op, reference});
  check_op({"prime sizes, several chunks", {random({67, 31}), random({31})}, op, reference});
}

TEST_CASE("rms_norm names the shapes that do not fit") {
  const Var x(zeros({2, 3, 8}, DType::f32)), w(zeros({7}, DType::f32));
  CHECK(error_of([&] { rms_norm(x, w, kEps); }) == "rms_norm: weight [7] does not fit x [2,3,8]");
}

}  // namespace rmoe::test
