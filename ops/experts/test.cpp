#include "engine/cuda/backend.hpp"
#include "engine/flops.hpp"
#include "ops/expert_dispatch/expert_dispatch.hpp"
#include "ops/experts/experts.hpp"
#include "ops/grouped_linear/grouped_linear.hpp"
#include "ops/swiglu/swiglu.hpp"
#include "tests/op_case.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

struct Sizes {
  int64_t N, K, E, F, C;
  int64_t capacity = -1;  // none
};

/// K different experts per token; the first ones have many and expert E - 1 has none if there are enough
/// others.
Tensor some_experts(const Sizes& s) {
  const int64_t used = std::max(s.K, s.E - 1);
  std::vector<int32_t> experts;
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t k = 0; k < s.K; ++k) experts.push_back(int32_t((n % 3 == 0 ? n / 3 + k : k) % used));
  return from_vector(experts, {s.N, s.K});
}

Routes routes_for(const Var& x, const Sizes& s) {
  const bool meta = x.value().device() == Device::meta;
  const auto there = [&](const Tensor& t) {
    return meta ? empty(t.shape(), t.dtype(), Device::meta) : beside(x, t);
  };
  const Tensor experts = there(some_experts(s));
  if (s.capacity < 0) return sort_by_expert(experts, s.E);
  const Tensor probs = there(to_tensor(random({s.N, s.E}, 0, 1, 8), DType::f32));
  return sort_by_expert(experts, s.E, probs, s.capacity);
}

/// y of one assignment: w2_e (silu(w1_e x) * w3_e x).
std::vector<double> expert_output(const Arrays& in, const Sizes& s, int64_t n, int64_t e) {
  std::vector<double> y(s.C);
  for (int64_t f = 0; f < s.F; ++f) {
    double gate = 0, up = 0;
    for (int64_t c = 0; c < s.C; ++c) {
      gate += in[2][(e * s.F + f) * s.C + c] * in[0][n * s.C + c];
      up += in[3][(e * s.F + f) * s.C + c] * in[0][n * s.C + c];
    }
    const double h = gate / (1 + std::exp(-gate)) * up;
    for (int64_t c = 0; c < s.C; ++c) y[c] += in[4][(e * s.C + c) * s.F + f] * h;
  }
  return y;
}

Arrays naive_experts(const Arrays& in, const Sizes& s) {
  const Tensor experts = some_experts(s), slot = routes_for(Var(zeros({1}, DType::f32)), s).slot;
  Array y({s.N, s.C});
  for (int64_t i = 0; i < s.N * s.K; ++i) {
    if (slot.data<int32_t>()[i] < 0) continue;
    const std::vector<double> output = expert_output(in, s, i / s.K, experts.data<int32_t>()[i]);
    for (int64_t c = 0; c < s.C; ++c) y[i / s.K * s.C + c] += in[1][i] * output[c];
  }
  return {y};
}

/// Weights of a size that keeps every value near 1.
Arrays inputs_for(const Sizes& s) {
  const double in = 1.5 / std::sqrt(double(s.C)), out = 1.5 / std::sqrt(double(s.F));
  return {random({s.N, s.C}), random({s.N, s.K}, 0, 1, 2), random({s.E, s.F, s.C}, -in, in, 3),
          random({s.E, s.F, s.C}, -in, in, 4), random({s.E, s.C, s.F}, -out, out, 5)};
}

void check_swiglu(const Sizes& s, std::vector<int> constant = {}) {
  check_op({.name = concat("swiglu experts ", Shape{s.N, s.K, s.E, s.F, s.C}),
            .inputs = inputs_for(s),
            .op =
                [=](const Vars& in) {
                  return Vars{swiglu_experts(in[0], routes_for(in[0], s), in[1], in[2], in[3], in[4])};
                },
            .reference = [=](const Arrays& in) { return naive_experts(in, s); },
            .constant = constant,
            .weights = {2, 3, 4},
            .in_fp32 = {1},
            .bf16_tolerance = 1.5e-2});
}

}  // namespace

TEST_CASE("swiglu_experts") {
  check_swiglu({5, 2, 4, 3, 4});
  check_swiglu({1, 1, 1, 1, 1});
  check_swiglu({0, 2, 3, 8, 8});
  check_swiglu({7, 2, 3, 8, 16});  // multiples of eight: fused on a GPU in bf16
  check_swiglu({21, 2, 3, 24, 40});
  check_swiglu({7, 2, 3, 8, 16}, {0, 1});
  check_swiglu({7, 2, 3, 8, 16}, {2, 3, 4});
  check_swiglu({7, 2, 3, 8, 16}, {2});
  check_swiglu({7, 2, 3, 8, 16}, {3, 4});
  if (!cuda::available()) return;
  check_swiglu({150, 3, 5, 136, 72});  // edges of the tiles of tensor cores
  check_swiglu({130, 1, 2, 224, 136});
}

TEST_CASE("swiglu_experts leaves dropped assignments out") {
  check_swiglu({31, 2, 4, 5, 6, 9});
  check_swiglu({31, 2, 4, 16, 24, 9});
  check_swiglu({7, 2, 3, 8, 16, 0});
}

TEST_CASE("swiglu_experts is the composition of its steps") {
  const Sizes s{90, 2, 4, 112, 48};
  Vars leaves;
  for (const Array& a : inputs_for(s)) leaves.push_back(Var::leaf(to_tensor(a, DType::f32)));
  const Routes routes = routes_for(leaves[0], s);
  const Var rows = expert_dispatch(leaves[0], routes);
  const Var h = swiglu(grouped_linear(rows, leaves[2], {}, routes.offsets),
                       grouped_linear(rows, leaves[3], {}, routes.offsets));
  const Var y = expert_combine(grouped_linear(h, leaves[4], {}, routes.offsets), leaves[1], routes);
  const Array wanted = to_array(y.value());
  const Array got =
      to_array(swiglu_experts(leaves[0], routes, leaves[1], leaves[2], leaves[3], leaves[4]).value());
  CHECK(got.data == wanted.data);
}

TEST_CASE("swiglu_experts counts the work of its rows on meta, in bf16 as in fp32") {
  const Sizes s{6, 2, 3, 8, 16};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Var x(empty({6, 16}, dtype, Device::meta)), gates(empty({6, 2}, DType::f32, Device::meta));
    const auto weight = [&](Shape shape) { return Var::leaf(empty(shape, dtype, Device::meta)); };
    const Var w1 = weight({3, 8, 16}), w3 = weight({3, 8, 16}), w2 = weight({3, 16, 8});
    const double before = flops_counted();
    const Var y = swiglu_experts(x, routes_for(x, s), gates, w1, w3, w2);
    CHECK(y.shape() == Shape{6, 16});
    CHECK(flops_counted() - before == 3 * 2 * 12 * 8 * 16);
    backward({y}, {empty(y.shape(), dtype, Device::meta)});
    // of x, none is wanted
    CHECK(flops_counted() - before == (3 + 1 + 3) * 2 * 12 * 8 * 16);
  }
}

TEST_CASE("swiglu_experts names the shapes that do not fit") {
  const Sizes s{3, 2, 2, 4, 5};
  const Routes routes = sort_by_expert(some_experts(s), 2);
  const auto t = [](Shape shape) { return Var(zeros(shape, DType::f32)); };
  const Var x = t({3, 5}), gates = t({3, 2}), w1 = t({2, 4, 5}), w2 = t({2, 5, 4});
  const auto error = [&](const Var& x, const Var& gates, const Var& w1, const Var& w3, const Var& w2) {
    return error_of([&] { swiglu_experts(x, routes, gates, w1, w3, w2); });
  };
  CHECK(error(x, gates, t({4, 5}), w1, w2) == "swiglu_experts: w1 [4,5] is not [E,F,C]");
  CHECK(error(x, gates, w1, w2, w2) == "swiglu_experts: w3 [2,5,4] does not fit w1 [2,4,5]");
  CHECK(error(x, gates, w1, w1, w1) == "swiglu_experts: w2 [2,4,5] does not fit w1 [2,4,5]");
  CHECK(error(t({4, 5}), gates, w1, w1, w2) ==
        "swiglu_experts: x [4,5] does not fit routes of 3 tokens and w1 [2,4,5]");
  CHECK(error(x, t({3, 1}), w1, w1, w2) == "swiglu_experts: gates [3,1] do not fit routes [3,2]");
  CHECK(error(x, gates, t({3, 4, 5}), t({3, 4, 5}), t({3, 5, 4})) ==
        "swiglu_experts: offsets [3] do not fit w1 [3,4,5]");
}

}  // namespace rmoe::test
