#include "ops/entropy/entropy.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Arrays reference(const Arrays& in) {
  Array h(Shape{});
  for (double p : in[0].data)
    if (p > 0) h[0] -= p * std::log(p);
  return {h};
}

Vars op(const Vars& in) { return {Var(entropy(in[0].value()))}; }

}  // namespace

TEST_CASE("entropy") {
  const auto check = [](const std::string& name, const Array& probs) {
    check_op(
        {.name = name, .inputs = {probs}, .op = op, .reference = reference, .constant = {0}, .bf16 = false});
  };
  check("3x4", random({3, 4}, 0, 1));
  check("many rows", random({517, 7}, 0, 1));
  check("no rows", random({0, 4}, 0, 1));
  check("certain", Array({2, 2}, 0));
}

TEST_CASE("entropy of equal chances is the logarithm of their number") {
  CHECK(entropy(full({1, 8}, 0.125, DType::f32)).item() == doctest::Approx(std::log(8.0)));
}

}  // namespace rmoe::test
