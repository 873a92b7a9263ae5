#include "ops/cosine_head/cosine_head.hpp"
#include "tests/op_case.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Arrays reference(const Arrays& in) {
  const Array &f = in[0], &v = in[1];
  const int64_t N = f.shape[0], E = v.shape[0], P = f.shape[1];
  Array y({N, E});
  for (int64_t n = 0; n < N; ++n)
    for (int64_t e = 0; e < E; ++e) {
      double dot = 0, ff = 0, vv = 0;
      for (int64_t p = 0; p < P; ++p) {
        dot += f[n * P + p] * v[e * P + p];
        ff += f[n * P + p] * f[n * P + p];
        vv += v[e * P + p] * v[e * P + p];
      }
      y[n * E + e] = dot / std::max(std::sqrt(ff), 1e-8) / std::max(std::sqrt(vv), 1e-8) / in[2][0];
    }
  return {y};
}

Vars op(const Vars& in) { return {cosine_head(in[0], in[1], in[2])}; }

void check_head(int64_t N, int64_t E, int64_t P, std::vector<int> constant = {}) {
  const Arrays in{random({N, P}), random({E, P}, -1, 1, 2), random({1}, 0.2, 0.4)};
  check_op({.name = concat("cosine_head ", Shape{N, E, P}),
            .inputs = in,
            .op = op,
            .reference = reference,
            .constant = constant,
            .bf16 = false});
}

}  // namespace

TEST_CASE("cosine_head") {
  check_head(2, 3, 4);
  check_head(1, 1, 2);
  check_head(0, 3, 4);
  check_head(131, 17, 23);
  check_head(3, 4, 5, {0});
  check_head(3, 4, 5, {1});
  check_head(3, 4, 5, {0, 1});
  check_head(3, 4, 5, {2});
}

TEST_CASE("cosine_head does not see the length of a vector") {
  const Array f = random({3, 5}), v = random({4, 5}, -1, 1, 2), tau = random({1}, 0.2, 0.4);
  Array longer = f;
  for (double& x : longer.data) x *= 64;  // a power of two: no rounding
  const auto y = [&](const Array& features) {
    return to_array(cosine_head(Var(to_tensor(features, DType::f32)), Var(to_tensor(v, DType::f32)),
                                Var(to_tensor(tau, DType::f32)))
                        .value());
  };
  CHECK(y(f).data == y(longer).data);
}

TEST_CASE("cosine_head of a zero vector is zero, with the gradient of the clamped norm") {
  const Var f = Var::leaf(zeros({1, 2}, DType::f64));
  const Var v(from_vector<double>({3, 4}, {1, 2})), tau(full({1}, 0.5, DType::f64));
  const Var y = cosine_head(f, v, tau);
  backward({y}, {full({1, 1}, 1, DType::f64)});
  CHECK(y.value().item() == 0);
  CHECK(f.grad().span<double>()[0] == doctest::Approx(0.6 / 0.5 / 1e-8).epsilon(1e-12));
  CHECK(f.grad().span<double>()[1] == doctest::Approx(0.8 / 0.5 / 1e-8).epsilon(1e-12));
}

TEST_CASE("cosine_head treats a norm below the clamp as the constant it is divided by") {
  Arrays in{random({2, 3}), random({2, 3}, -1, 1, 2), random({1}, 0.2, 0.4)};
  for (int p = 0; p < 3; ++p) in[0][p] = (p - 0.75) * 0x1p-28;  // norm 0.6e-8
  check_op({.name = "one clamped row",
            .inputs = in,
            .op = op,
            .reference = reference,
            .constant = {0},
            .bf16 = false});
  const Var f = Var::leaf(to_tensor(in[0], DType::f64));
  const Var v(to_tensor(in[1], DType::f64)), tau(to_tensor(in[2], DType::f64));
  const GradcheckResult result = gradcheck([&] { return op({f, v, tau}); }, {f}, {.step = 1e-12});
  CHECK_MESSAGE(result.error < 1e-6, result.where);
}

TEST_CASE("cosine_head names the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  CHECK(error_of([&] {
          cosine_head(t({2, 3}), t({4, 5}), t({1}));
        }) == "cosine_head: embeddings [4,5] do not fit features [2,3]");
  CHECK(error_of([&] {
          cosine_head(t({2, 3}), t({4, 3}), t({2}));
        }) == "cosine_head: temperature [2], wanted [1]");
}

}  // namespace rmoe::test
