#include "ops/z_loss/z_loss.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

void check_z_loss(int64_t N, int64_t E, double low = -2, double high = 2) {
  const auto reference = [=](const Arrays& in) {
    Array loss{Shape{}};
    for (int64_t n = 0; n < N; ++n) {
      double sum = 0;
      for (int64_t e = 0; e < E; ++e) sum += std::exp(in[0][n * E + e]);
      loss[0] += std::pow(std::log(sum), 2) / double(N);
    }
    return Arrays{loss};
  };
  check_op({.name = concat("z_loss ", Shape{N, E}),
            .inputs = {random({N, E}, low, high)},
            .op = [](const Vars& in) { return Vars{z_loss(in[0])}; },
            .reference = reference,
            .bf16 = false});
}

}  // namespace

TEST_CASE("z_loss") {
  check_z_loss(4, 3);
  check_z_loss(1, 1);
  check_z_loss(0, 3);
  check_z_loss(7, 16, -20, 20);
  check_z_loss(307, 17);
}

TEST_CASE("z_loss of equal logits is log(E)^2, and of large ones finite") {
  CHECK(z_loss(Var(zeros({3, 8}, DType::f64))).value().item() == doctest::Approx(std::pow(std::log(8), 2)));
  CHECK(z_loss(Var(full({3, 1}, 1e4, DType::f32))).value().item() == 1e8);
}

TEST_CASE("z_loss names the shape that does not fit") {
  CHECK(error_of([] { z_loss(Var(zeros({3}, DType::f32))); }) ==
        "z_loss: logits [3], wanted [N,E] with E > 0");
}

}  // namespace rmoe::test
