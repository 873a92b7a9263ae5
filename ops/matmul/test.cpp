#include "engine/flops.hpp"
#include "ops/matmul/matmul.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Arrays reference(const Arrays& in) {
  const Array &a = in[0], &b = in[1];
  const int64_t M = a.shape[-2], K = a.shape[-1], N = b.shape[-1];
  Array y(a.shape.with(-1, N));
  for (int64_t row = 0; row < (N ? y.shape.numel() / N : 0); ++row)  // over batch and M
    for (int64_t n = 0; n < N; ++n)
      for (int64_t k = 0; k < K; ++k) y[row * N + n] += a[row * K + k] * b[(row / M * K + k) * N + n];
  return {y};
}

Vars op(const Vars& in) { return {matmul(in[0], in[1])}; }

void check(Shape a, Shape b, std::vector<int> constant = {}) {
  check_op({concat(a, b), {random(a), random(b, -1, 1, 2)}, op, reference, constant});
}

}  // namespace

TEST_CASE("matmul") {
  check({1, 1}, {1, 1});
  check({3, 4}, {4, 5});
  check({2, 3, 5, 7}, {2, 3, 7, 11});
  check({2, 301, 37}, {2, 37, 131});  // several tiles
}

TEST_CASE("matmul: a size of 0 gives zeros or nothing") {
  check({3, 0}, {0, 4});
  check({0, 4}, {4, 5});
  check({0, 2, 3}, {0, 3, 2});
  check({2, 3}, {3, 0});
}

TEST_CASE("matmul: a gradient nobody wants is left out, and not counted") {
  check({3, 4}, {4, 5}, {0});
  check({3, 4}, {4, 5}, {1});
  const Var a = Var::leaf(zeros({6, 3, 4}, DType::f32)), b(zeros({6, 4, 5}, DType::f32));
  const double before = flops_counted(), once = 2.0 * 6 * 3 * 4 * 5;
  const Var y = matmul(a, b);
  CHECK(flops_counted() - before == once);
  backward({y}, {zeros(y.shape(), DType::f32)});
  CHECK(flops_counted() - before == 2 * once);
}

TEST_CASE("matmul: a square by itself") {
  check_op({"x x",
            {random({5, 5})},
            [](const Vars& in) {
              return op({in[0], in[0]});
            },
            [](const Arrays& in) {
              return reference({in[0], in[0]});
            }});
}

TEST_CASE("matmul names the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  CHECK(error_of([&] { matmul(t({2, 3}), t({4, 5})); }) == "matmul: b [4,5] does not fit a [2,3]");
  CHECK(error_of([&] { matmul(t({2, 3}), t({1, 3, 5})); }) == "matmul: b [1,3,5] does not fit a [2,3]");
  CHECK(error_of([&] { matmul(t({2, 2, 3}), t({1, 3, 5})); }) == "matmul: b [1,3,5] does not fit a [2,2,3]");
  CHECK(error_of([&] { matmul(t({3}), t({3})); }) == "matmul: b [3] does not fit a [3]");
}

}  // namespace rmoe::test
