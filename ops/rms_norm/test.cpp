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

}  // namespace

TEST_CASE("rms_norm") {
  check("2x3x8", {2, 3, 8});
  check("one row of two", {1, 2});
  check("no rows", {0, 5});
  check("prime sizes, several chunks", {67, 31});
  check("rows of whole packs, more than one of each lane's", {5, 520});
  check("several parts of a sum over rows", {523, 3});
}

TEST_CASE("rms_norm names the shapes that do not fit") {
  const Var x(zeros({2, 3, 8}, DType::f32)), w(zeros({7}, DType::f32));
  CHECK(error_of([&] { rms_norm(x, w, kEps); }) == "rms_norm: weight [7] does not fit x [2,3,8]");
}

}  // namespace rmoe::test
