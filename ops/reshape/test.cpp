#include "ops/elementwise/elementwise.hpp"
#include "ops/reshape/reshape.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

void check(Shape from, Shape to) {
  check_op({concat(from, " -> ", to),
            {random(from)},
            [=](const Vars& in) { return Vars{reshape(in[0], to)}; },
            [=](const Arrays& in) {
              Array y = in[0];
              y.shape = to;
              return Arrays{y};
            }});
}

}  // namespace

TEST_CASE("reshape") {
  check({1}, {});
  check({2, 3, 5}, {6, 5});
  check({7}, {1, 7, 1});
  check({0, 4}, {2, 0});
}

TEST_CASE("reshape shares the storage") {
  const Var x(zeros({2, 3}, DType::f32));
  CHECK(reshape(x, {6}).value().raw() == x.value().raw());
}

TEST_CASE("reshape: a gradient that is a view is added to others without harming them") {
  check_op({"x y with y = flat(x), twice",
            {random({3, 4})},
            [](const Vars& in) {
              const Var flat = reshape(in[0], {12}), back = reshape(flat, {3, 4});
              return Vars{add(add(in[0], back), mul(in[0], back)), flat};
            },
            [](const Arrays& in) {
              Array y = in[0], flat = in[0];
              for (double& v : y.data) v = 2 * v + v * v;
              flat.shape = {12};
              return Arrays{y, flat};
            }});
}

TEST_CASE("reshape names the shapes that do not fit") {
  const Var x(zeros({2, 3}, DType::f32));
  CHECK(error_of([&] { reshape(x, {5}); }) == "reshape: [2,3] does not fit [5]");
}

}  // namespace rmoe::test
