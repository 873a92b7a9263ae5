#include "ops/topk_gate/topk_gate.hpp"
#include "tests/op_case.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

namespace rmoe::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Logits of one row at least 0.1 apart: finite differences never cross a tie.
Array spread(int64_t N, int64_t E) {
  Array x = random({N, E}, -1, 1, 5);
  for (int64_t n = 0; n < N; ++n) {
    const std::vector<double> row(&x.data[n * E], &x.data[n * E] + E);
    for (int64_t e = 0; e < E; ++e) {
      const auto below = std::count_if(row.begin(), row.end(), [&](double v) { return v < row[e]; });
      x[n * E + e] = double(below) / 8 - 1;
    }
  }
  return x;
}

std::function<Arrays(const Arrays&)> reference(int64_t K, bool renormalise) {
  return [=](const Arrays& in) {
    const int64_t N = in[0].shape[0], E = in[0].shape[1];
    Array p({N, E}), w({N, K});
    for (int64_t n = 0; n < N; ++n) {
      const double* x = &in[0].data[n * E];
      double all = 0, kept = 0;
      for (int64_t e = 0; e < E; ++e) all += std::exp(x[e]);
      for (int64_t e = 0; e < E; ++e) p[n * E + e] = std::exp(x[e]) / all;
      std::vector<double> sorted(&p.data[n * E], &p.data[n * E] + E);
      std::sort(sorted.rbegin(), sorted.rend());
      for (int64_t k = 0; k < K; ++k) kept += sorted[k];
      for (int64_t k = 0; k < K; ++k) w[n * K + k] = sorted[k] / (renormalise ? kept : 1);
    }
    return Arrays{p, w};
  };
}

void check_gate(int64_t N, int64_t E, int64_t K) {
  for (bool renormalise : {true, false}) {
    const auto op = [=](const Vars& in) {
      const Gate gate = topk_gate(in[0], K, renormalise);
      return Vars{gate.probs, gate.weights};
    };
    check_op({.name = concat(N, "x", E, ", top ", K, renormalise ? ", renormalised" : ""),
              .inputs = {spread(N, E)},
              .op = op,
              .reference = reference(K, renormalise),
              .bf16 = false});
  }
}

std::vector<int32_t> chosen(const std::vector<float>& row, int64_t K) {
  const Gate gate = topk_gate(Var(under_test(from_vector(row, {1, int64_t(row.size())}))), K);
  const Tensor experts = to(gate.experts, Device::cpu);
  return {experts.span<int32_t>().begin(), experts.span<int32_t>().end()};
}

}  // namespace

TEST_CASE("topk_gate") {
  check_gate(3, 4, 2);
  check_gate(1, 1, 1);
  check_gate(5, 7, 1);
  check_gate(5, 7, 7);
  check_gate(0, 4, 2);
  check_gate(131, 17, 4);
  check_gate(5, 77, 9);  // several experts for each lane of a warp
}

TEST_CASE("topk_gate names the experts its weights belong to") {
  const Array x = spread(67, 13);
  const Gate gate = topk_gate(Var(to_tensor(x, DType::f64)), 3, false);
  const auto probs = gate.probs.value().span<double>(), weights = gate.weights.value().span<double>();
  const auto experts = gate.experts.span<int32_t>();
  for (size_t i = 0; i < weights.size(); ++i) CHECK(weights[i] == probs[i / 3 * 13 + experts[i]]);
}

TEST_CASE("topk_gate gives ties to the lower index") {
  CHECK(chosen({2, 2, 2, 2, 2}, 3) == std::vector<int32_t>{0, 1, 2});
  CHECK(chosen({0, 3, 1, 3, 1}, 3) == std::vector<int32_t>{1, 3, 2});
  CHECK(chosen({0, 0, 5, 0, 5}, 5) == std::vector<int32_t>{2, 4, 0, 1, 3});
  CHECK(chosen({-0.0f, 0.0f}, 1) == std::vector<int32_t>{0});
  std::vector<float> row(100, 1);
  row[70] = row[35] = row[3] = 2;
  CHECK(chosen(row, 5) == std::vector<int32_t>{3, 35, 70, 0, 1});
}

TEST_CASE("topk_gate tells logits apart whose probabilities round to the same number") {
  const float above = std::nextafter(1e-3f, 1.0f);
  CHECK(chosen({1e-3f, above}, 1) == std::vector<int32_t>{1});
  CHECK(chosen({100, -200, -100}, 2) == std::vector<int32_t>{0, 2});
}

TEST_CASE("topk_gate puts NaN last and shows it in the probabilities") {
  CHECK(chosen({kNaN, 1, kNaN, -3}, 3) == std::vector<int32_t>{1, 3, 0});
  CHECK(chosen({kNaN, kNaN, kNaN}, 2) == std::vector<int32_t>{0, 1});
  CHECK(chosen({-kNaN, -std::numeric_limits<float>::infinity()}, 1) == std::vector<int32_t>{1});
  const float all_ones = std::bit_cast<float>(0xffffffffu);  // as in a buffer nobody wrote
  for (float nan : {kNaN, -kNaN, all_ones}) {
    const Gate gate = topk_gate(Var(under_test(from_vector<float>({1, nan, 0, 1, 2, 0}, {2, 3}))), 2);
    const Array probs = to_array(gate.probs.value());
    for (int e = 0; e < 3; ++e) CHECK(std::isnan(probs[e]));
    for (int e = 3; e < 6; ++e) CHECK(std::isfinite(probs[e]));
    CHECK(std::isnan(to_array(gate.weights.value())[0]));
  }
}

TEST_CASE("topk_gate does not see a constant added to all logits") {
  const Array low = spread(3, 8);  // multiples of 1/8: the sum is exact
  Array high = low;
  for (double& x : high.data) x += 1000;
  const auto probs = [](const Array& x) {
    return to_array(topk_gate(Var(under_test(to_tensor(x, DType::f32))), 2).probs.value()).data;
  };
  CHECK(probs(low) == probs(high));
}

TEST_CASE("topk_gate with one expert kept and renormalised passes no gradient through the weight") {
  const Var x = Var::leaf(to_tensor(spread(3, 4), DType::f64));
  backward({topk_gate(x, 1).weights}, {full({3, 1}, 1, DType::f64)});
  for (double g : x.grad().span<double>()) CHECK(g == 0);
}

TEST_CASE("topk_gate names what does not fit") {
  const Var x(zeros({2, 4}, DType::f32));
  CHECK(error_of([&] { topk_gate(x, 5); }) == "topk_gate: top 5 does not fit logits [2,4], wanted 1 to 4");
  CHECK(error_of([&] { topk_gate(x, 0); }) == "topk_gate: top 0 does not fit logits [2,4], wanted 1 to 4");
  CHECK(error_of([&] { topk_gate(Var(zeros({4}, DType::f32)), 1); }) ==
        "topk_gate: logits [4] are not [N,E]");
}

}  // namespace rmoe::test
