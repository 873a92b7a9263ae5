#include "ops/rope/rope.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Array reference(const Array& x, int64_t heads, double theta, int64_t first) {
  const int64_t T = x.shape[1], D = x.shape[2] / heads;
  Array y(x.shape);
  for (int64_t k = 0; k < x.shape.numel(); ++k) {
    const int64_t j = k % D, i = j % (D / 2), t = k / (heads * D) % T;
    const double angle = double(first + t) * std::pow(theta, -2.0 * i / D);
    const double partner = j < D / 2 ? -x[k + D / 2] : x[k - D / 2];
    y[k] = x[k] * std::cos(angle) + partner * std::sin(angle);
  }
  return y;
}

OpCase rope_case(std::string name, Shape shape, int64_t heads, double theta, int64_t first = 0) {
  return {name,
          {random(shape)},
          [=](const Vars& in) { return Vars{rope(in[0], heads, theta, first)}; },
          [=](const Arrays& in) { return Arrays{reference(in[0], heads, theta, first)}; }};
}

}  // namespace

TEST_CASE("rope") {
  check_op(rope_case("2x3x(2 heads of 4)", {2, 3, 8}, 2, 10000));
  check_op(rope_case("one pair, one position", {1, 1, 2}, 1, 10000, 1));
  check_op(rope_case("no batch", {0, 3, 4}, 1, 10000));
  check_op(rope_case("no time", {2, 0, 4}, 1, 10000));
  check_op(rope_case("several chunks, prime sizes", {3, 71, 5 * 34}, 5, 10000));
  check_op(rope_case("from position 1000, another base", {2, 37, 2 * 6}, 2, 500, 1000));
}

TEST_CASE("rope leaves position 0 alone and a head's length as it was") {
  const Array x = random({1, 40, 16});
  const Array y = to_array(rope(Var(to_tensor(x, DType::f64)), 2, 10000).value());
  for (int64_t c = 0; c < 16; ++c) CHECK(y[c] == x[c]);
  for (int64_t head = 0; head < 80; ++head) {
    double before = 0, after = 0;
    for (int64_t k = head * 8; k < head * 8 + 8; ++k) {
      before += x[k] * x[k];
      after += y[k] * y[k];
    }
    CHECK(after == doctest::Approx(before).epsilon(1e-13));
  }
}

TEST_CASE("rope makes scores depend on the distance alone") {
  const Var q(to_tensor(random({1, 1, 8}), DType::f64)),
      k(to_tensor(random({1, 1, 8}, -1, 1, 2), DType::f64));
  const auto score = [&](int64_t query_position, int64_t key_position) {
    const Array a = to_array(rope(q, 1, 10000, query_position).value());
    const Array b = to_array(rope(k, 1, 10000, key_position).value());
    double sum = 0;
    for (int64_t c = 0; c < 8; ++c) sum += a[c] * b[c];
    return sum;
  };
  CHECK(score(1007, 1000) == doctest::Approx(score(7, 0)).epsilon(1e-11));
  CHECK(score(7, 0) != doctest::Approx(score(0, 7)));
}

TEST_CASE("rope names the shape that does not split") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  CHECK(error_of([&] {
          rope(t({2, 3, 6}), 2, 10000);
        }) == "rope: x [2,3,6] does not split into 2 heads of even size");
  CHECK(error_of([&] {
          rope(t({3, 8}), 2, 10000);
        }) == "rope: x [3,8] does not split into 2 heads of even size");
}

}  // namespace rmoe::test
