#include "engine/cuda/backend.hpp"
#include "engine/flops.hpp"
#include "ops/activation/activation.hpp"
#include "ops/dropout/dropout.hpp"
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

/// out += w x, w [rows, columns] of one expert.
void add_product(std::vector<double>& out, const double* w, const std::vector<double>& x) {
  for (size_t r = 0; r < out.size(); ++r)
    for (size_t c = 0; c < x.size(); ++c) out[r] += w[r * x.size() + c] * x[c];
}

/// y_n = sum_k g_nk output(x_n, e, n K + k) over the assignments that are not dropped; x and g are in[0],
/// in[1].
template <class Output>
Arrays naive_experts(const Arrays& in, const Sizes& s, Output&& output) {
  const Tensor experts = some_experts(s), slot = routes_for(Var(zeros({1}, DType::f32)), s).slot;
  Array y({s.N, s.C});
  for (int64_t i = 0; i < s.N * s.K; ++i) {
    if (slot.data<int32_t>()[i] < 0) continue;
    const auto token = in[0].data.begin() + i / s.K * s.C;
    const std::vector<double> out = output({token, token + s.C}, experts.data<int32_t>()[i], i);
    for (int64_t c = 0; c < s.C; ++c) y[i / s.K * s.C + c] += in[1][i] * out[c];
  }
  return {y};
}

/// w2_e (silu(w1_e x) * w3_e x)
Arrays naive_swiglu(const Arrays& in, const Sizes& s) {
  return naive_experts(in, s, [&](const std::vector<double>& x, int64_t e, int64_t) {
    std::vector<double> gate(s.F), up(s.F), y(s.C);
    add_product(gate, in[2].data.data() + e * s.F * s.C, x);
    add_product(up, in[3].data.data() + e * s.F * s.C, x);
    for (int64_t f = 0; f < s.F; ++f) gate[f] *= up[f] / (1 + std::exp(-gate[f]));
    add_product(y, in[4].data.data() + e * s.C * s.F, gate);
    return y;
  });
}

constexpr RandomStream kRandom{7, 11, 5};

/// w2_e dropout(relu(w1_e x + b1_e)) + b2_e
Arrays naive_relu(const Arrays& in, const Sizes& s, double p) {
  return naive_experts(in, s, [&](const std::vector<double>& x, int64_t e, int64_t i) {
    std::vector<double> h(in[3].data.data() + e * s.F, in[3].data.data() + e * s.F + s.F),
        y(in[5].data.data() + e * s.C, in[5].data.data() + e * s.C + s.C);
    add_product(h, in[2].data.data() + e * s.F * s.C, x);
    for (int64_t f = 0; f < s.F; ++f) {
      const bool kept = uniform_at(kRandom.seed, kRandom.stream, kRandom.offset + i * s.F + f) >= p;
      h[f] = kept ? std::max(h[f], 0.0) / (1 - p) : 0;
    }
    add_product(y, in[4].data.data() + e * s.C * s.F, h);
    return y;
  });
}

/// Weights of a size that keeps every value near 1.
Arrays swiglu_inputs(const Sizes& s) {
  const double in = 1.5 / std::sqrt(double(s.C)), out = 1.5 / std::sqrt(double(s.F));
  return {random({s.N, s.C}), random({s.N, s.K}, 0, 1, 2), random({s.E, s.F, s.C}, -in, in, 3),
          random({s.E, s.F, s.C}, -in, in, 4), random({s.E, s.C, s.F}, -out, out, 5)};
}

/// Each value rounded down to a multiple of `step`, plus `shift`.
Array on_grid(Array a, double step, double shift = 0) {
  for (double& v : a.data) v = std::floor(v / step) * step + shift;
  return a;
}

/// What relu is applied to are odd multiples of 1/128: finite differences meet no kink.
Arrays relu_inputs(const Sizes& s) {
  const double in = 1.5 / std::sqrt(double(s.C)), out = 1.5 / std::sqrt(double(s.F));
  return {on_grid(random({s.N, s.C}), 0.25),
          random({s.N, s.K}, 0, 1, 2),
          on_grid(random({s.E, s.F, s.C}, -in, in, 3), 1.0 / 16),
          on_grid(random({s.E, s.F}, -0.5, 0.5, 4), 1.0 / 64, 1.0 / 128),
          random({s.E, s.C, s.F}, -out, out, 5),
          random({s.E, s.C}, -0.5, 0.5, 6)};
}

void check_swiglu(const Sizes& s, std::vector<int> constant = {}) {
  check_op({.name = concat("swiglu experts ", Shape{s.N, s.K, s.E, s.F, s.C}),
            .inputs = swiglu_inputs(s),
            .op =
                [=](const Vars& in) {
                  return Vars{swiglu_experts(in[0], routes_for(in[0], s), in[1], in[2], in[3], in[4])};
                },
            .reference = [=](const Arrays& in) { return naive_swiglu(in, s); },
            .constant = constant,
            .weights = {2, 3, 4},
            .in_fp32 = {1},
            .bf16_tolerance = 1.5e-2});
}

void check_relu(const Sizes& s, double p = 0.25, std::vector<int> constant = {}) {
  check_op({.name = concat("relu experts ", Shape{s.N, s.K, s.E, s.F, s.C}, " dropping ", p),
            .inputs = relu_inputs(s),
            .op =
                [=](const Vars& in) {
                  return Vars{relu_experts(in[0], routes_for(in[0], s), in[1], in[2], in[3], in[4], in[5], p,
                                           kRandom)};
                },
            .reference = [=](const Arrays& in) { return naive_relu(in, s, p); },
            .constant = constant,
            .weights = {2, 3, 4, 5},
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
  check_swiglu({530, 1, 1, 3, 2});  // rows of several blocks, and a sum over them of several parts
  check_swiglu({3, 1, 2, 2, 70});   // columns of two windows
  check_swiglu({7, 2, 3, 8, 16}, {0, 1});
  check_swiglu({7, 2, 3, 8, 16}, {2, 3, 4});
  check_swiglu({7, 2, 3, 8, 16}, {2});
  check_swiglu({7, 2, 3, 8, 16}, {3, 4});
  if (!cuda::available()) return;
  check_swiglu({150, 3, 5, 136, 72});  // edges of the tiles of tensor cores
  check_swiglu({130, 1, 2, 224, 136});
}

TEST_CASE("relu_experts") {
  for (double p : {0.0, 0.25}) {
    check_relu({5, 2, 4, 3, 4}, p);
    check_relu({1, 1, 1, 1, 1}, p);
    check_relu({0, 2, 3, 8, 8}, p);
    check_relu({7, 2, 3, 8, 16}, p);
    check_relu({21, 2, 3, 24, 40}, p);
  }
  check_relu({530, 1, 1, 3, 2});
  check_relu({5, 2, 3, 6, 70});
  check_relu({7, 2, 3, 8, 16}, 0.25, {0, 1});
  check_relu({7, 2, 3, 8, 16}, 0.25, {2, 3, 4, 5});
  check_relu({7, 2, 3, 8, 16}, 0.25, {2, 5});
  check_relu({7, 2, 3, 8, 16}, 0.25, {3, 4});
}

TEST_CASE("relu_experts leaves dropped assignments out") {
  check_relu({31, 2, 4, 5, 6, 9});
  check_relu({31, 2, 4, 16, 24, 9});
  check_relu({7, 2, 3, 8, 16, 0});
}

TEST_CASE("swiglu_experts leaves dropped assignments out") {
  check_swiglu({31, 2, 4, 5, 6, 9});
  check_swiglu({31, 2, 4, 16, 24, 9});
  check_swiglu({7, 2, 3, 8, 16, 0});
}

TEST_CASE("experts are the composition of their steps") {
  const Sizes s{390, 2, 4, 112, 48};
  const auto leaves_of = [](const Arrays& arrays) {
    Vars leaves;
    for (const Array& a : arrays) leaves.push_back(Var::leaf(to_tensor(a, DType::f32)));
    return leaves;
  };
  const Vars in = leaves_of(swiglu_inputs(s));
  const Routes routes = routes_for(in[0], s);
  const Var rows = expert_dispatch(in[0], routes);
  const auto finish = [&](const Var& h, const Var& w2, const Var& b2) {
    return to_array(expert_combine(grouped_linear(h, w2, b2, routes.offsets), in[1], routes).value());
  };
  const Var h = swiglu(grouped_linear(rows, in[2], {}, routes.offsets),
                       grouped_linear(rows, in[3], {}, routes.offsets));
  CHECK(to_array(swiglu_experts(in[0], routes, in[1], in[2], in[3], in[4]).value()).data ==
        finish(h, in[4], {}).data);

  const Vars r = leaves_of(relu_inputs(s));
  const Var z = relu(grouped_linear(expert_dispatch(r[0], routes), r[2], r[3], routes.offsets));
  CHECK(to_array(relu_experts(r[0], routes, r[1], r[2], r[3], r[4], r[5], 0.1, kRandom).value()).data ==
        finish(dropout(z, 0.1, kRandom, routes.assignment), r[4], r[5]).data);
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

TEST_CASE("relu_experts names the shapes that do not fit") {
  const Sizes s{3, 2, 2, 4, 5};
  const Routes routes = sort_by_expert(some_experts(s), 2);
  const auto t = [](Shape shape) { return Var(zeros(shape, DType::f32)); };
  const auto error = [&](const Var& b1, const Var& b2, double p) {
    return error_of([&] {
      relu_experts(t({3, 5}), routes, t({3, 2}), t({2, 4, 5}), b1, t({2, 5, 4}), b2, p, kRandom);
    });
  };
  CHECK(error(t({2, 5}), t({2, 5}), 0) == "relu_experts: b1 [2,5] does not fit w1 [2,4,5]");
  CHECK(error(t({2, 4}), t({2, 4}), 0) == "relu_experts: b2 [2,4] does not fit w1 [2,4,5]");
  CHECK(error(t({2, 4}), t({2, 5}), 1) == "relu_experts: p 1 is not in [0, 1)");
}

}  // namespace rmoe::test
