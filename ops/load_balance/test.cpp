#include "ops/load_balance/load_balance.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

/// Uneven on purpose; token n takes K experts in a row.
std::vector<int32_t> some_experts(int64_t N, int64_t K, int64_t E) {
  std::vector<int32_t> experts;
  for (int64_t n = 0; n < N; ++n)
    for (int64_t k = 0; k < K; ++k) experts.push_back(int32_t((n * n + k) % E));
  return experts;
}

void check_balance(int64_t N, int64_t K, int64_t E) {
  const auto op = [=](const Vars& in) {
    const bool meta = in[0].value().device() == Device::meta;
    const Tensor experts = meta ? empty({N, K}, DType::i32, Device::meta)
                                : beside(in[0], from_vector(some_experts(N, K, E), {N, K}));
    return Vars{load_balance(in[0], expert_share(experts, E))};
  };
  const auto reference = [=](const Arrays& in) {
    Array loss{Shape{}};
    const std::vector<int32_t> experts = some_experts(N, K, E);
    for (int64_t e = 0; e < E && N > 0; ++e) {
      double share = 0, mean = 0;
      for (int32_t i : experts) share += (i == e) / double(N * K);
      for (int64_t n = 0; n < N; ++n) mean += in[0][n * E + e] / double(N);
      loss[0] += E * share * mean;
    }
    return Arrays{loss};
  };
  check_op({.name = concat("load_balance ", Shape{N, K, E}),
            .inputs = {random({N, E}, 0, 1)},
            .op = op,
            .reference = reference,
            .bf16 = false});
}

}  // namespace

TEST_CASE("load_balance") {
  check_balance(4, 2, 3);
  check_balance(1, 1, 1);
  check_balance(0, 2, 3);
  check_balance(5, 4, 4);
  check_balance(307, 3, 17);
}

TEST_CASE("load_balance is 1 at perfect balance and E when one expert takes all") {
  const Tensor even = from_vector<int32_t>({0, 1, 2, 3, 2, 1, 0, 3}, {4, 2});
  CHECK(load_balance(Var(full({4, 4}, 0.25, DType::f32)), expert_share(even, 4)).value().item() == 1);
  const Var one_sided(from_vector<float>({0, 1, 0, 0, 1, 0}, {2, 3}));
  const Tensor one = from_vector<int32_t>({1, 1}, {2, 1});
  CHECK(load_balance(one_sided, expert_share(one, 3)).value().item() == 3);
}

TEST_CASE("load_balance: the mean over parts with the whole batch's share is the loss of the whole") {
  const int64_t N = 12, K = 2, E = 5, parts = 3;
  const Tensor experts = from_vector(some_experts(N, K, E), {N, K});
  const Tensor probs = to_tensor(random({N, E}, 0, 1), DType::f64), share = expert_share(experts, E);
  double with_whole = 0, with_own = 0;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = part * N / parts, count = N / parts;
    const Var rows(probs.rows(first, count));
    with_whole += load_balance(rows, share).value().item() / parts;
    with_own += load_balance(rows, expert_share(experts.rows(first, count), E)).value().item() / parts;
  }
  const double whole = load_balance(Var(probs), share).value().item();
  CHECK(with_whole == doctest::Approx(whole).epsilon(1e-14));
  CHECK(std::fabs(with_own - whole) > 1e-3);
}

TEST_CASE("expert_share counts exactly") {
  const auto share = [](const std::vector<int32_t>& experts, int64_t E) {
    return to_array(expert_share(under_test(from_vector(experts, {int64_t(experts.size()) / 2, 2})), E)).data;
  };
  CHECK(share({2, 0, 2, 2}, 3) == std::vector<double>{0.25, 0, 0.75});
  CHECK(share({}, 2) == std::vector<double>{0, 0});
  const Tensor part = under_test(from_vector<int32_t>({2, 0}, {1, 2}));
  CHECK(to_array(expert_share(part, 3, 8)).data == std::vector<double>{0.125, 0, 0.125});
  std::vector<int32_t> all_but_one(1000, 1);
  all_but_one[999] = 0;
  CHECK(share(all_but_one, 2) == std::vector<double>{0.001, 0.999});
}

TEST_CASE("load_balance names what does not fit") {
  const Var probs(zeros({2, 3}, DType::f32));
  CHECK(error_of([&] { load_balance(probs, zeros({4}, DType::f64)); }) ==
        "load_balance: share [4] does not fit probs [2,3]");
  CHECK(error_of([&] {
          expert_share(full({2, 1}, 3, DType::i32), 3);
        }) == "expert_share: assignment 0 goes to expert 3 of 3");
}

}  // namespace rmoe::test
