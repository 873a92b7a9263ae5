#include "ops/cross_entropy/cross_entropy.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>

namespace rmoe::test {
namespace {

/// Every row whose number `masked` divides is not counted; 0 masks none.
Tensor some_targets(int64_t N, int64_t V, int64_t masked) {
  std::vector<int32_t> targets;
  for (int64_t n = 0; n < N; ++n)
    targets.push_back(masked > 0 && n % masked == 0 ? -1 : int32_t((n * n + V - 1) % V));
  return from_vector(targets, {N});
}

Array reference(const Array& x, const Tensor& targets) {
  const int64_t N = x.shape[0], V = x.shape[1];
  Array loss(Shape{});
  int64_t counted = 0;
  for (int64_t n = 0; n < N; ++n) {
    if (targets.data<int32_t>()[n] < 0) continue;
    const double target = x[n * V + targets.data<int32_t>()[n]];
    double sum = 0;
    for (int64_t v = 0; v < V; ++v) sum += std::exp(x[n * V + v] - target);
    loss[0] += std::log(sum);  // -log p(target)
    ++counted;
  }
  if (counted > 0) loss[0] /= double(counted);
  return loss;
}

OpCase cross_entropy_case(std::string name, Shape shape, double low = -3, double high = 3,
                          int64_t masked = 0) {
  const Tensor targets = some_targets(shape[0], shape[1], masked);
  return {name,
          {random(shape, low, high)},
          [=](const Vars& in) { return Vars{cross_entropy(in[0], beside(in[0], targets))}; },
          [=](const Arrays& in) { return Arrays{reference(in[0], targets)}; }};
}

double loss_of(const std::vector<float>& logits) {
  const Var x(under_test(from_vector(logits, {1, int64_t(logits.size())})));
  return cross_entropy(x, under_test(from_vector<int32_t>({0}, {1}))).value().item();
}

}  // namespace

TEST_CASE("cross_entropy") {
  check_op(cross_entropy_case("3x7", {3, 7}));
  check_op(cross_entropy_case("one row, one class: no loss, no gradient", {1, 1}));
  check_op(cross_entropy_case("prime sizes, several chunks", {61, 13}));
  check_op(cross_entropy_case("several blocks of classes", {2, 9001}));
  check_op(cross_entropy_case("rows of whole packs", {3, 2568}));
  check_op(cross_entropy_case("logits far apart", {5, 11}, -60, 60));
  check_op(cross_entropy_case("every third row masked", {61, 13}, -3, 3, 3));
  check_op(cross_entropy_case("all rows masked", {9, 4}, -3, 3, 1));
}

TEST_CASE("cross_entropy does not look at the logits of a masked row") {
  const float nan = std::nanf("");
  const Var x = Var::leaf(under_test(from_vector<float>({1, 2, nan, nan}, {2, 2})));
  const Var loss = cross_entropy(x, under_test(from_vector<int32_t>({1, -1}, {2})));
  backward(loss);
  const Array dx = to_array(x.grad());
  CHECK(loss.value().item() == doctest::Approx(std::log1p(std::exp(-1.0))));
  CHECK(dx[0] != 0);
  CHECK(dx[2] == 0);
  CHECK(dx[3] == 0);
}

TEST_CASE("cross_entropy of equal logits is log V, however large they are") {
  for (float logit : {0.0f, 1e4f, -1e4f, 1e9f})
    CHECK(loss_of(std::vector<float>(205, logit)) == doctest::Approx(std::log(205)).epsilon(1e-6));
}

TEST_CASE("cross_entropy rescales when a later block holds the maximum") {
  std::vector<float> logits(10000, 0);
  logits.back() = 50;
  CHECK(loss_of(logits) == doctest::Approx(50));
  logits[0] = 50;
  CHECK(loss_of(logits) == doctest::Approx(std::log(2)));
}

TEST_CASE("cross_entropy ignores classes at -inf and shows NaN and +inf") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> logits(9000, -kInfinity);
  logits[0] = logits.back() = 2;
  CHECK(loss_of(logits) == doctest::Approx(std::log(2)));
  logits[5000] = std::nanf("");
  CHECK(std::isnan(loss_of(logits)));
  logits[5000] = kInfinity;
  CHECK_FALSE(std::isfinite(loss_of(logits)));
}

TEST_CASE("cross_entropy names what does not fit") {
  const auto error = [](Shape logits, const Tensor& targets) {
    return error_of([&] { cross_entropy(Var(zeros(logits, DType::f32)), targets); });
  };
  const Tensor targets = from_vector<int32_t>({0, 5, 4}, {3});
  CHECK(error({3, 5}, targets) == "cross_entropy: target 5 at position 1 is not in [0, 5) and not -1");
  CHECK(error({1, 5}, from_vector<int32_t>({-2}, {1})) ==
        "cross_entropy: target -2 at position 0 is not in [0, 5) and not -1");
  CHECK(error({4, 6}, targets) == "cross_entropy: targets [3] do not fit logits [4,6]");
  CHECK(error({3, 1, 6}, targets) == "cross_entropy: logits [3,1,6], wanted [N,V] with at least one row");
  CHECK(error({0, 6}, from_vector<int32_t>({}, {0})) ==
        "cross_entropy: logits [0,6], wanted [N,V] with at least one row");
  CHECK(error({3, 6}, zeros({3}, DType::f32)) == "cross_entropy: targets are f32, wanted i32");
}

}  // namespace rmoe::test
