#include "ops/exchange_rows/exchange_rows.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

/// One rank sends the first `count` rows to itself; there are `rows` of y.
OpCase to_itself(const std::string& name, const Array& x, int64_t count, int64_t rows) {
  static SingleCommunicator alone;
  return {.name = name,
          .inputs = {x},
          .op = [=](const Vars& in) -> Vars {
            return {exchange_rows(in[0], {{count}, {count}}, rows, alone)};
          },
          .reference = [=](const Arrays& in) -> Arrays {
            const int64_t C = in[0].shape[1];
            Array y({rows, C});
            for (int64_t i = 0; i < count * C; ++i) y[i] = in[0][i];
            return {y};
          }};
}

}  // namespace

// What several ranks do is tested with them: train/ranks_cuda_test.cpp.
TEST_CASE("exchange_rows") {
  check_op(to_itself("all rows", random({5, 3}), 5, 5));
  check_op(to_itself("some rows, and zeros behind them", random({7, 2}), 4, 9));
  check_op(to_itself("no row", random({3, 2}), 0, 2));
  check_op(to_itself("nothing at all", random({0, 4}), 0, 0));
}

TEST_CASE("exchange_rows names counts that do not fit") {
  SingleCommunicator alone;
  const Var x(full({3, 2}, 1, DType::f32));
  CHECK(error_of([&] {
          exchange_rows(x, {{1, 1}, {2}}, 2, alone);
        }) == "exchange_rows: counts for 2 and from 1 ranks, wanted 1");
  CHECK(error_of([&] {
          exchange_rows(x, {{4}, {4}}, 4, alone);
        }) == "exchange_rows: x [3,2] and 4 rows of y, wanted at least 4 and 4");
}

}  // namespace rmoe::test
