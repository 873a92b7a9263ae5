#include "ops/activation/activation.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/swiglu/swiglu.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Arrays reference(const Arrays& in) {
  Array y(in[0].shape);
  for (size_t i = 0; i < y.data.size(); ++i) y[i] = in[0][i] / (1 + std::exp(-in[0][i])) * in[1][i];
  return {y};
}

Vars op(const Vars& in) { return {swiglu(in[0], in[1])}; }

}  // namespace

TEST_CASE("swiglu") {
  for (const Shape& shape : {Shape{1}, {0, 4}, {2, 3, 7}, {13, 1571}})  // the last is longer than a chunk
    check_op({concat(shape), {random(shape, -5, 5), random(shape, -2, 2, 2)}, op, reference});
}

TEST_CASE("swiglu: a gradient nobody wants is left out") {
  for (int constant : {0, 1})
    check_op({concat("constant ", constant),
              {random({5, 3}), random({5, 3}, -1, 1, 2)},
              op,
              reference,
              {constant}});
}

TEST_CASE("swiglu: both operands may be the same value") {
  check_op({"x, x",
            {random({7, 11})},
            [](const Vars& in) {
              return op({in[0], in[0]});
            },
            [](const Arrays& in) {
              return reference({in[0], in[0]});
            }});
}

TEST_CASE("swiglu equals silu times b") {
  check_op({.name = "composition",
            .inputs = {random({6, 5}, -5, 5), random({6, 5}, -2, 2, 2)},
            .op = [](const Vars& in) { return Vars{sub(swiglu(in[0], in[1]), mul(silu(in[0]), in[1]))}; },
            .reference = [](const Arrays& in) { return Arrays{Array(in[0].shape)}; },
            .float_tolerance = 1e-3,
            .float_grad_tolerance = 1e-3,
            .bf16 = false});  // what is left there is the rounding of silu alone
}

TEST_CASE("swiglu names the shapes that do not fit") {
  const Var a(zeros({2, 3}, DType::f32)), b(zeros({2, 4}, DType::f32));
  CHECK(error_of([&] { swiglu(a, b); }) == "swiglu: b [2,4] does not fit a [2,3]");
}

}  // namespace rmoe::test
