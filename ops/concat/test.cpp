#include "ops/concat/concat.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Arrays reference(const Arrays& in) {
  const int64_t B = in[0].shape[0], S = in[0].shape[1], T = in[1].shape[1], C = in[0].shape[2];
  Array y({B, S + T, C});
  int64_t to = 0;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t i = 0; i < S * C; ++i) y[to++] = in[0][b * S * C + i];
    for (int64_t i = 0; i < T * C; ++i) y[to++] = in[1][b * T * C + i];
  }
  return {y};
}

Vars op(const Vars& in) { return {concat_time(in[0], in[1])}; }

void check(Shape a, Shape b, std::vector<int> constant = {}) {
  check_op({concat(a, b), {random(a), random(b, -1, 1, 2)}, op, reference, constant});
}

}  // namespace

TEST_CASE("concat_time") {
  check({1, 1, 1}, {1, 1, 1});
  check({2, 3, 5}, {2, 4, 5});
  check({3, 0, 2}, {3, 5, 2});
  check({3, 5, 2}, {3, 0, 2});
  check({0, 2, 3}, {0, 1, 3});
  check({3, 61, 17}, {3, 43, 17});  // several chunks
}

TEST_CASE("concat_time: a gradient nobody wants is left out") {
  for (int constant : {0, 1}) check({2, 3, 5}, {2, 4, 5}, {constant});
}

TEST_CASE("concat_time: a value behind itself") {
  check_op({"x, x",
            {random({2, 3, 5})},
            [](const Vars& in) {
              return op({in[0], in[0]});
            },
            [](const Arrays& in) {
              return reference({in[0], in[0]});
            }});
}

TEST_CASE("concat_time names the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  CHECK(error_of([&] {
          concat_time(t({2, 3, 5}), t({2, 3, 4}));
        }) == "concat_time: b [2,3,4] does not fit a [2,3,5]");
  CHECK(error_of([&] {
          concat_time(t({2, 3, 5}), t({1, 3, 5}));
        }) == "concat_time: b [1,3,5] does not fit a [2,3,5]");
  CHECK(error_of([&] { concat_time(t({3, 5}), t({3, 5})); }) == "concat_time: b [3,5] does not fit a [3,5]");
}

}  // namespace rmoe::test
