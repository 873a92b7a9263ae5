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
  check_op({.name = "3x4",
            .inputs = {random({3, 4}, 0, 1)},
            .op = op,
            .reference = reference,
            .constant = {0},
            .bf16 = false});
  check_op({.name = "many rows",
            .inputs = {random({517, 7}, 0, 1)},
            .op = op,
            .reference = reference,
            .constant = {0},
            .bf16 = false});
  check_op({.name = "no rows",
            .inputs = {random({0, 4}, 0, 1)},
            .op = op,
            .reference = reference,
            .constant = {0},
            .bf16 = false});
  check_op({.name = "certain",
            .inputs = {Array({2, 2}, 0)},
            .op = op,
            .reference = reference,
            .constant = {0},
            .bf16 = false});
}

TEST_CASE("entropy of equal chances is the logarithm of their number") {
  CHECK(entropy(full({1, 8}, 0.125, DType::f32)).item() == doctest::Approx(std::log(8.0)));
}

}  // namespace rmoe::test
