#include "ops/elementwise/elementwise.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

constexpr double kFactor = -2.5;

template <class F>
Arrays pairwise(const Arrays& in, F f) {
  Array y(in[0].shape);
  for (size_t i = 0; i < y.data.size(); ++i) y[i] = f(in[0][i], in[1][i]);
  return {y};
}

Arrays sum_of(const Arrays& in) {
  return pairwise(in, [](double a, double b) { return a + b; });
}
Arrays difference_of(const Arrays& in) {
  return pairwise(in, [](double a, double b) { return a - b; });
}
Arrays product_of(const Arrays& in) {
  return pairwise(in, [](double a, double b) { return a * b; });
}
Arrays multiple_of(const Arrays& in) {
  Array y = in[0];
  for (double& value : y.data) value *= kFactor;
  return {y};
}

Vars op_add(const Vars& in) { return {add(in[0], in[1])}; }
Vars op_sub(const Vars& in) { return {sub(in[0], in[1])}; }
Vars op_mul(const Vars& in) { return {mul(in[0], in[1])}; }
Vars op_scale(const Vars& in) { return {scale(in[0], kFactor)}; }

const Shape kShapes[] = {{1}, {}, {0, 3}, {2, 3, 5}, {37, 1009}};  // the last is longer than two chunks

}  // namespace

TEST_CASE("elementwise: add, sub, mul, scale") {
  for (const Shape& shape : kShapes) {
    const Array a = random(shape), b = random(shape, -1, 1, 2);
    check_op({concat("add ", shape), {a, b}, op_add, sum_of});
    check_op({concat("sub ", shape), {a, b}, op_sub, difference_of});
    check_op({concat("mul ", shape), {a, b}, op_mul, product_of});
    check_op({concat("scale ", shape), {a}, op_scale, multiple_of});
  }
}

TEST_CASE("elementwise: a gradient nobody wants is left out") {
  const Array a = random({3, 4}), b = random({3, 4}, -1, 1, 2);
  for (int constant : {0, 1}) {
    check_op({"add", {a, b}, op_add, sum_of, {constant}});
    check_op({"sub", {a, b}, op_sub, difference_of, {constant}});
    check_op({"mul", {a, b}, op_mul, product_of, {constant}});
  }
}

TEST_CASE("elementwise: both operands may be the same value") {
  const Array x = random({5, 7});
  const auto twice = [](auto reference) {
    return [=](const Arrays& in) { return reference({in[0], in[0]}); };
  };
  check_op({"x + x", {x}, [](const Vars& in) { return Vars{add(in[0], in[0])}; }, twice(sum_of)});
  check_op({"x - x", {x}, [](const Vars& in) { return Vars{sub(in[0], in[0])}; }, twice(difference_of)});
  check_op({"x x", {x}, [](const Vars& in) { return Vars{mul(in[0], in[0])}; }, twice(product_of)});
}

TEST_CASE("elementwise: a sum that fans out adds every path once") {
  const Array a = random({4, 3}), b = random({4, 3}, -1, 1, 2);
  const auto op = [](const Vars& in) {
    const Var s = add(in[0], in[1]);
    return Vars{add(mul(s, in[0]), sub(s, in[1]))};
  };
  const auto reference = [](const Arrays& in) {
    return pairwise(in, [](double x, double y) { return (x + y) * x + x; });
  };
  check_op({"(a + b) a + (a + b) - b", {a, b}, op, reference});
}

TEST_CASE("elementwise names the shapes that do not fit") {
  const Var a(zeros({2, 3}, DType::f32)), b(zeros({3, 2}, DType::f32));
  CHECK(error_of([&] { add(a, b); }) == "add: b [3,2] does not fit a [2,3]");
  CHECK(error_of([&] { sub(a, b); }) == "sub: b [3,2] does not fit a [2,3]");
  CHECK(error_of([&] { mul(a, b); }) == "mul: b [3,2] does not fit a [2,3]");
}

}  // namespace rmoe::test
