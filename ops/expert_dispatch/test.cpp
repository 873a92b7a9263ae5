#include "engine/cuda/backend.hpp"
#include "ops/expert_dispatch/expert_dispatch.hpp"
#include "tests/op_case.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <numeric>

namespace rmoe::test {
namespace {

/// K different experts per token; expert E - 1 gets none if there are enough others.
Tensor some_experts(int64_t N, int64_t K, int64_t E) {
  const int64_t used = std::max(K, E - 1);
  std::vector<int32_t> experts;
  for (int64_t n = 0; n < N; ++n)
    for (int64_t k = 0; k < K; ++k) experts.push_back(int32_t((n * n + 3 * n + k) % used));
  return from_vector(experts, {N, K});
}

template <class T>
std::vector<T> values(const Tensor& t) {
  const Tensor there = to(t, Device::cpu);
  return {there.span<T>().begin(), there.span<T>().end()};
}

/// Where there is a GPU, its routes are those of the CPU, and rows that nobody has go to assignment -1.
void check_same_routes(const Routes& gpu, const Routes& cpu) {
  CHECK(values<int32_t>(gpu.offsets) == values<int32_t>(cpu.offsets));
  CHECK(values<int32_t>(gpu.slot) == values<int32_t>(cpu.slot));
  CHECK(gpu.assignment.shape() == Shape{gpu.rows});
  REQUIRE(gpu.rows >= cpu.rows);
  std::vector<int32_t> wanted = values<int32_t>(cpu.assignment);
  wanted.resize(size_t(gpu.rows), -1);
  CHECK(values<int32_t>(gpu.assignment) == wanted);
}

/// sort_by_expert with a capacity, compared with the GPU's if there is one.
Routes limited_routes(const Tensor& experts, int64_t E, const Tensor& probs, int64_t capacity) {
  const Routes routes = sort_by_expert(experts, E, probs, capacity);
  if (cuda::available())
    check_same_routes(
        sort_by_expert(to(experts, Device::cuda), E, to(to(probs, DType::f32), Device::cuda), capacity),
        routes);
  return routes;
}

/// The sort once more, by std::stable_sort.
void check_routes(const Tensor& experts, int64_t E) {
  const Routes r = sort_by_expert(experts, E);
  const auto of = experts.span<int32_t>();
  std::vector<int32_t> order(of.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return of[a] < of[b]; });
  CHECK(values<int32_t>(r.assignment) == order);
  CHECK(r.slot.shape() == experts.shape());
  for (size_t row = 0; row < order.size(); ++row) CHECK(r.slot.span<int32_t>()[order[row]] == int32_t(row));
  REQUIRE(r.offsets.shape() == Shape{E + 1});
  for (int64_t e = 0; e <= E; ++e)
    CHECK(r.offsets.span<int32_t>()[e] ==
          std::count_if(of.begin(), of.end(), [=](int32_t i) { return i < e; }));
  if (cuda::available()) check_same_routes(sort_by_expert(to(experts, Device::cuda), E), r);
}

/// The same routes on the device of x, where meta needs the shapes only.
Routes routes_for(const Var& x, int64_t N, int64_t K, int64_t E) {
  const bool meta = x.value().device() == Device::meta;
  return sort_by_expert(meta ? empty({N, K}, DType::i32, Device::meta) : beside(x, some_experts(N, K, E)), E);
}

/// Tokens of the sorted rows, found by scanning the assignments once per expert.
std::vector<int64_t> sorted_assignments(int64_t N, int64_t K, int64_t E) {
  const auto experts = values<int32_t>(some_experts(N, K, E));
  std::vector<int64_t> order;
  for (int64_t e = 0; e < E; ++e)
    for (int64_t i = 0; i < N * K; ++i)
      if (experts[i] == e) order.push_back(i);
  return order;
}

void check_dispatch(int64_t N, int64_t K, int64_t E, int64_t C) {
  const auto op = [=](const Vars& in) { return Vars{expert_dispatch(in[0], routes_for(in[0], N, K, E))}; };
  const auto reference = [=](const Arrays& in) {
    Array y;
    y.shape = {N * K, C};
    for (int64_t i : sorted_assignments(N, K, E))
      for (int64_t c = 0; c < C; ++c) y.data.push_back(in[0][i / K * C + c]);
    return Arrays{y};
  };
  check_op({concat("dispatch ", Shape{N, K, E, C}), {random({N, C})}, op, reference});
}

void check_combine(int64_t N, int64_t K, int64_t E, int64_t C, std::vector<int> constant = {}) {
  const auto op = [=](const Vars& in) {
    return Vars{expert_combine(in[0], in[1], routes_for(in[0], N, K, E))};
  };
  const auto reference = [=](const Arrays& in) {
    Array out({N, C});
    int64_t row = 0;
    for (int64_t i : sorted_assignments(N, K, E)) {
      for (int64_t c = 0; c < C; ++c) out[i / K * C + c] += in[1][i] * in[0][row * C + c];
      ++row;
    }
    return Arrays{out};
  };
  check_op({.name = concat("combine ", Shape{N, K, E, C}),
            .inputs = {random({N * K, C}), random({N, K})},
            .op = op,
            .reference = reference,
            .constant = constant,
            .in_fp32 = {1}});
}

}  // namespace

TEST_CASE("sort_by_expert") {
  check_routes(from_vector<int32_t>({1, 0, 1, 3, 0, 1}, {3, 2}), 4);
  check_routes(from_vector<int32_t>({0}, {1, 1}), 1);
  check_routes(from_vector<int32_t>({2, 2, 2, 2}, {4, 1}), 5);
  check_routes(empty({0, 2}, DType::i32), 3);
  check_routes(some_experts(301, 3, 7), 7);
  check_routes(some_experts(1500, 2, 70), 70);  // more than a warp of experts and a block of assignments
}

TEST_CASE("sort_by_expert makes shapes on meta") {
  const Routes r = sort_by_expert(empty({5, 2}, DType::i32, Device::meta), 4);
  CHECK(r.offsets.shape() == Shape{5});
  CHECK(r.assignment.shape() == Shape{10});
  CHECK(r.slot.device() == Device::meta);
}

TEST_CASE("expert_dispatch") {
  check_dispatch(3, 2, 4, 5);
  check_dispatch(1, 1, 1, 1);
  check_dispatch(0, 2, 3, 4);
  check_dispatch(5, 4, 4, 3);
  check_dispatch(131, 3, 7, 17);
  check_dispatch(11, 2, 4, 264);  // wide enough for packs of a whole warp, and more
}

TEST_CASE("expert_combine") {
  check_combine(3, 2, 4, 5);
  check_combine(1, 1, 1, 1);
  check_combine(0, 2, 3, 4);
  check_combine(5, 4, 4, 3);
  check_combine(131, 3, 7, 17);
  check_combine(11, 2, 4, 264);
  check_combine(3, 2, 4, 5, {0});
  check_combine(3, 2, 4, 5, {1});
}

TEST_CASE("sort_by_expert with a capacity keeps the highest scores, ties to the lower token") {
  // Expert 0 has tokens 0 to 4; the scores of 1 and 3 are equal.
  const Tensor experts = from_vector<int32_t>({0, 1, 0, 2, 0, 1, 0, 2, 0, 1}, {5, 2});
  const Tensor probs = from_vector<double>({.5, .4, 0, .3, 0, .2, .6, .1, 0, .3, 0, .4, .2, .7, 0}, {5, 3});
  const auto kept_by = [&](int64_t e, int64_t capacity) {
    const Routes r = limited_routes(experts, 3, probs, capacity);
    const auto offsets = r.offsets.span<int32_t>();
    std::vector<int32_t> tokens;
    for (int32_t row = offsets[e]; row < offsets[e + 1]; ++row) {
      const int32_t i = r.assignment.data<int32_t>()[row];
      CHECK(r.slot.data<int32_t>()[i] == row);
      tokens.push_back(i / 2);
    }
    return tokens;
  };
  CHECK(kept_by(0, 5) == std::vector<int32_t>{0, 1, 2, 3, 4});
  CHECK(kept_by(0, 3) == std::vector<int32_t>{0, 1, 2});
  CHECK(kept_by(0, 2) == std::vector<int32_t>{0, 2});
  CHECK(kept_by(1, 1) == std::vector<int32_t>{4});
  CHECK(kept_by(0, 0).empty());
  const Routes limited = limited_routes(experts, 3, probs, 2);
  CHECK(limited.rows == 6);
  CHECK(limited.assignment.shape() == Shape{6});
  CHECK(values<int32_t>(limited.slot) == std::vector<int32_t>{0, 2, -1, 4, 1, -1, -1, 5, -1, 3});
  const Routes whole = sort_by_expert(experts, 3), roomy = limited_routes(experts, 3, probs, 5);
  CHECK(values<int32_t>(whole.slot) == values<int32_t>(roomy.slot));
  CHECK(values<int32_t>(whole.assignment) == values<int32_t>(roomy.assignment));
}

TEST_CASE("sort_by_expert with a capacity drops NaN first and survives nothing but NaN") {
  const float nan = std::nanf("");
  const Tensor experts = zeros({3, 1}, DType::i32);
  const auto slots = [&](const std::vector<float>& scores) {
    return values<int32_t>(limited_routes(experts, 1, from_vector(scores, {3, 1}), 1).slot);
  };
  CHECK(slots({nan, .1f, nan}) == std::vector<int32_t>{-1, 0, -1});
  CHECK(slots({nan, nan, nan}) == std::vector<int32_t>{0, -1, -1});
}

TEST_CASE("sort_by_expert with a capacity goes by value alone, also among many equal and negative scores") {
  CHECK(values<int32_t>(
            limited_routes(zeros({3, 1}, DType::i32), 1, from_vector<float>({-.5f, -.25f, -1}, {3, 1}), 1)
                .slot) == std::vector<int32_t>{-1, 0, -1});
  CHECK(values<int32_t>(
            limited_routes(zeros({2, 1}, DType::i32), 1, from_vector<float>({-0.0f, 0}, {2, 1}), 1).slot) ==
        std::vector<int32_t>{0, -1});
  const int64_t N = 700, K = 2, E = 5;
  std::vector<float> scores;
  for (int64_t i = 0; i < N * E; ++i)
    scores.push_back(float(i * i % 23) / 23);  // ties across warps and blocks
  for (int64_t capacity : {0, 1, 100, 170, 1400})
    limited_routes(some_experts(N, K, E), E, from_vector(scores, {N, E}), capacity);
}

TEST_CASE("sort_by_expert with a capacity makes as many rows on meta as there can be") {
  const Tensor experts = empty({5, 2}, DType::i32, Device::meta),
               probs = empty({5, 4}, DType::f32, Device::meta);
  CHECK(sort_by_expert(experts, 4, probs, 2).rows == 8);
  CHECK(sort_by_expert(experts, 4, probs, 3).rows == 10);
}

TEST_CASE("expert_capacity rounds up, but not the rounding of a product") {
  CHECK(expert_capacity(1, 64, 16) == 4);
  CHECK(expert_capacity(1, 65, 16) == 5);
  CHECK(expert_capacity(1.25, 32, 16) == 3);
  CHECK(expert_capacity(1.1, 160, 16) == 11);  // 1.1 * 10 is 11.000000000000002
  CHECK(expert_capacity(0.01, 16, 16) == 1);
}

TEST_CASE("expert_dispatch and expert_combine leave dropped assignments out") {
  const int64_t N = 37, K = 2, E = 4, C = 5, capacity = 13;
  const auto routes = [=](const Var& x) {
    const bool meta = x.value().device() == Device::meta;
    const Tensor probs = to_tensor(random({N, E}, 0, 1, 8), DType::f32);
    const Tensor experts = meta ? empty({N, K}, DType::i32, Device::meta) : beside(x, some_experts(N, K, E));
    return sort_by_expert(experts, E,
                          meta ? empty(probs.shape(), DType::f32, Device::meta) : beside(x, probs), capacity);
  };
  const Routes fixed = routes(Var(zeros({1}, DType::f32)));
  REQUIRE(fixed.rows < N * K);
  CHECK(std::ranges::count(values<int32_t>(fixed.slot), -1) == N * K - fixed.rows);
  const auto passed_through = [=](const Vars& in) {
    const Routes r = routes(in[0]);
    return Vars{expert_combine(expert_dispatch(in[0], r), in[1], r)};
  };
  const auto reference = [=](const Arrays& in) {
    Array y({N, C});
    for (int64_t i = 0; i < N * K; ++i)
      for (int64_t c = 0; c < C && fixed.slot.data<int32_t>()[i] >= 0; ++c)
        y[i / K * C + c] += in[1][i] * in[0][i / K * C + c];
    return Arrays{y};
  };
  check_op({.name = "with a capacity",
            .inputs = {random({N, C}), random({N, K}, 0, 1, 2)},
            .op = passed_through,
            .reference = reference,
            .in_fp32 = {1}});
}

TEST_CASE("expert_dispatch and expert_combine name what does not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  const Routes r = sort_by_expert(some_experts(3, 2, 4), 4);
  CHECK(error_of([&] {
          expert_dispatch(t({4, 5}), r);
        }) == "expert_dispatch: x [4,5] does not fit routes of 3 tokens");
  CHECK(error_of([&] {
          expert_combine(t({6, 5}), t({2, 3}), r);
        }) == "expert_combine: weights [2,3] do not fit routes [3,2]");
  CHECK(error_of([&] {
          expert_combine(t({5, 5}), t({3, 2}), r);
        }) == "expert_combine: y [5,5] does not fit routes [3,2], wanted 6 rows");
  CHECK(error_of([] { sort_by_expert(empty({3}, DType::i32), 2); }) ==
        "sort_by_expert: experts [3] are not [N,K]");
  CHECK(error_of([] {
          sort_by_expert(from_vector<int32_t>({0, 4}, {1, 2}), 4);
        }) == "sort_by_expert: assignment 1 goes to expert 4 of 4");
}

}  // namespace rmoe::test
