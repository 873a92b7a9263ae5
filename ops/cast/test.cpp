#include "ops/cast/cast.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

TEST_CASE("cast") {
  const auto there = [](const Vars& in) { return Vars{cast(in[0], DType::f64)}; };
  const auto same = [](const Arrays& in) { return in; };
  check_op({.name = "3x5", .inputs = {random({3, 5})}, .op = there, .reference = same, .bf16 = false});
  check_op({.name = "no rows", .inputs = {random({0, 5})}, .op = there, .reference = same, .bf16 = false});
}

TEST_CASE("cast rounds to the nearest bf16, and gradients pass through it") {
  const Var x = Var::leaf(from_vector<float>({1.0f, 1.00390625f, 1.01171875f, -3.0f}, {4}));
  const Var y = cast(x, DType::bf16);
  CHECK(to_array(y.value()).data == std::vector<double>{1, 1, 1.015625, -3});  // ties to even
  backward({y}, {from_vector<bf16>({bf16(1.0f), bf16(2.0f), bf16(3.0f), bf16(4.0f)}, {4})});
  CHECK(to_array(x.grad()).data == std::vector<double>{1, 2, 3, 4});
  CHECK(cast(x, DType::f32).slot() == x.slot());
}

}  // namespace rmoe::test
