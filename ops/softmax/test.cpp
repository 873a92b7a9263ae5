#include "ops/softmax/softmax.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>

namespace rmoe::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Arrays reference(const Arrays& in) {
  const Array& x = in[0];
  const int64_t C = x.shape[-1], N = C ? x.shape.numel() / C : 0;
  Array y(x.shape);
  for (int64_t n = 0; n < N; ++n) {
    double sum = 0;
    for (int64_t c = 0; c < C; ++c) sum += std::exp(x[n * C + c]);
    for (int64_t c = 0; c < C; ++c) y[n * C + c] = std::exp(x[n * C + c]) / sum;
  }
  return {y};
}

Vars op(const Vars& in) { return {softmax(in[0])}; }

Tensor of(const std::vector<float>& x) {
  return to(softmax(Var(under_test(from_vector(x, {int64_t(x.size())})))).value(), Device::cpu);
}

}  // namespace

TEST_CASE("softmax") {
  for (const Shape& shape : {Shape{1}, {5}, {3, 1}, {0, 3}, {3, 0}, {2, 3, 8}, {131, 17}, {3, 1009}})
    check_op({.name = concat(shape),
              .inputs = {random(shape, -4, 4)},
              .op = op,
              .reference = reference,
              .bf16 = false});
}

TEST_CASE("softmax: a shift of the logits changes nothing, however large") {
  const Tensor y = of({1e30f, 1e30f, -1e30f});
  CHECK(y.span<float>()[0] == 0.5f);
  CHECK(y.span<float>()[1] == 0.5f);
  CHECK(y.span<float>()[2] == 0.0f);
}

TEST_CASE("softmax gives exactly 0 where the logit is -inf") {
  std::vector<float> x(37, -kInf);
  x[3] = x[36] = 2;
  const Tensor y = of(x);
  for (int i = 0; i < 37; ++i) CHECK(y.span<float>()[i] == (i == 3 || i == 36 ? 0.5f : 0.0f));
}

TEST_CASE("softmax: NaN among the logits shows in every output of its row") {
  std::vector<float> x(37, 1);
  x[5] = std::numeric_limits<float>::quiet_NaN();
  const Tensor y = of(x);
  for (float value : y.span<float>()) CHECK(std::isnan(value));
}

TEST_CASE("softmax names the shape that does not fit") {
  CHECK(error_of([] { softmax(Var(zeros({}, DType::f32))); }) == "softmax: x [] has no last dimension");
}

}  // namespace rmoe::test
