#include "ops/activation/activation.hpp"
#include "tests/op_case.hpp"

#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

namespace rmoe::test {
namespace {

struct Activation {
  const char* name;
  Var (*op)(const Var&);
  double (*reference)(double);
};

const Activation kActivations[] = {
    {"relu", relu, [](double x) { return x > 0 ? x : 0; }},
    {"gelu", gelu, [](double x) { return x * (1 + std::erf(x / std::sqrt(2.0))) / 2; }},
    {"sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"tanh", rmoe::tanh, [](double x) { return std::tanh(x); }},
    {"silu", silu, [](double x) { return x / (1 + std::exp(-x)); }},
};

/// Uniform in [-limit, limit) with a gap around the kink of relu, where finite differences mean nothing.
Array off_zero(Shape shape, double limit) {
  Array x = random(shape, -limit, limit);
  for (double& value : x.data)
    if (std::fabs(value) < 0.001) value = 0.125;
  return x;
}

void check(const Activation& f, Shape shape, double limit) {
  check_op({concat(f.name, " ", shape, " up to ", limit),
            {off_zero(shape, limit)},
            [&](const Vars& in) { return Vars{f.op(in[0])}; },
            [&](const Arrays& in) {
              Array y(in[0].shape);
              for (size_t i = 0; i < y.data.size(); ++i) y[i] = f.reference(in[0][i]);
              return Arrays{y};
            }});
}

float at(const Activation& f, float x) {
  return float(f.op(Var(under_test(full({1}, x, DType::f32)))).value().item());
}

}  // namespace

TEST_CASE("activation: relu, gelu, sigmoid, tanh, silu") {
  for (const Activation& f : kActivations) {
    check(f, {1}, 1);
    check(f, {0, 3}, 1);
    check(f, {2, 3, 7}, 4);
    check(f, {17, 2003}, 4);  // longer than two chunks
    check(f, {101}, 30);
  }
}

TEST_CASE("activation: float keeps its digits, small and negative arguments included") {
  std::vector<float> xs;
  for (float x = -12; x <= 12; x += 0.0078125f) xs.push_back(x);
  for (const Activation& f : kActivations) {
    const Array y = to_array(f.op(Var(under_test(from_vector(xs, {int64_t(xs.size())})))).value());
    for (size_t i = 0; i < xs.size(); ++i) {
      const double x = xs[i];
      const double wanted = f.op == gelu ? x * std::erfc(-x / std::sqrt(2.0)) / 2 : f.reference(x);
      INFO(f.name, " at ", x);
      CHECK(std::fabs(y[int64_t(i)] - wanted) <= 1e-5 * std::fabs(wanted) + 1e-30);
    }
  }
}

TEST_CASE("activation: infinities saturate, NaN stays NaN") {
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(at(kActivations[0], -inf) == 0);
  CHECK(at(kActivations[0], inf) == inf);
  CHECK(at(kActivations[1], inf) == inf);
  CHECK(at(kActivations[2], inf) == 1);
  CHECK(at(kActivations[2], -inf) < 1e-37f);
  CHECK(at(kActivations[3], inf) == 1);
  CHECK(at(kActivations[3], -inf) == -1);
  CHECK(at(kActivations[4], inf) == inf);
  for (const Activation& f : kActivations)
    for (uint32_t bits : {0x7fc00000u, 0xffffffffu}) CHECK(std::isnan(at(f, std::bit_cast<float>(bits))));
}

TEST_CASE("activation: the slope of relu at 0 is 0") {
  const Var x = Var::leaf(zeros({1}, DType::f32));
  backward(relu(x));
  CHECK(x.grad().item() == 0);
}

}  // namespace rmoe::test
