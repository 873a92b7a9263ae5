#include "ops/reduce/reduce.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>
#include <numeric>

namespace rmoe::test {
namespace {

double total(const Array& x) { return std::accumulate(x.data.begin(), x.data.end(), 0.0); }

Vars op_sum(const Vars& in) { return {sum(in[0])}; }
Vars op_mean(const Vars& in) { return {mean(in[0])}; }
Arrays reference_sum(const Arrays& in) { return {Array({}, total(in[0]))}; }
Arrays reference_mean(const Arrays& in) { return {Array({}, total(in[0]) / in[0].shape.numel())}; }

}  // namespace

TEST_CASE("reduce: sum and mean") {
  for (const Shape& shape : {Shape{1}, {}, {2, 3, 5}, {101, 43}, {7, 5003}}) {  // the last in many pieces
    const Array x = random(shape, -1, 2);
    check_op({concat("sum ", shape), {x}, op_sum, reference_sum});
    check_op({concat("mean ", shape), {x}, op_mean, reference_mean});
  }
}

TEST_CASE("reduce: nothing sums to 0 and has no mean") {
  check_op({"sum of nothing", {Array({0, 3})}, op_sum, reference_sum});
  CHECK(error_of([] { mean(Var(zeros({0, 3}, DType::f32))); }) == "mean: x [0,3] has no elements");
}

TEST_CASE("reduce: a long float sum loses nothing") {
  const int64_t n = 3000017;
  CHECK(sum(Var(full({n}, 0.1, DType::f32))).value().item() == float(n * double(0.1f)));
  CHECK(mean(Var(full({n}, 0.1, DType::f32))).value().item() == 0.1f);
}

}  // namespace rmoe::test
