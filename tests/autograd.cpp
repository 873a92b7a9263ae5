// The tape's promises: gradients add up, none is lost in silence, what nobody needs is freed.
#include "engine/memory.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/reduce/reduce.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Var leaf(std::vector<double> values) { return Var::leaf(from_vector(values, {int64_t(values.size())})); }
std::vector<double> grad_of(const Var& x) { return to_array(x.grad()).data; }

}  // namespace

TEST_CASE("tape: a value used twice collects both gradients and shares no buffer") {
  const Var x = leaf({1, 2, 3}), y = leaf({4, 5, 6});
  backward(sum(add(mul(x, x), add(x, y))));
  CHECK(grad_of(x) == std::vector<double>{3, 5, 7});
  CHECK(grad_of(y) == std::vector<double>{1, 1, 1});
}

TEST_CASE("tape: gradients add up over backward passes until they are zeroed") {
  Var x = leaf({1, 2});
  for (int pass = 0; pass < 2; ++pass) backward(sum(mul(x, x)));
  CHECK(grad_of(x) == std::vector<double>{4, 8});
  x.zero_grad();
  CHECK(!x.grad());
  backward(sum(x));
  CHECK(grad_of(x) == std::vector<double>{1, 1});
}

TEST_CASE("tape: a gradient that was handed on is added to in place once its other reader is done") {
  const Var x = leaf({1, 2});
  const void *handed = nullptr, *collected = nullptr;
  const Var h = record("spy", clone(x.value()), {x}, [&](const Tensor& dy, Grads& d) {
    collected = dy.raw();
    d.give(0, dy);
  });
  const Var f = record("other reader", clone(x.value()), {h}, [&](const Tensor& dy, Grads& d) {
    handed = dy.raw();
    d.give(0, from_vector<double>({3, 4}, {2}));
  });
  backward(sum(add(h, f)));
  CHECK(collected == handed);
  CHECK(grad_of(x) == std::vector<double>{4, 5});
}

TEST_CASE("tape: detach and NoGrad cut the graph") {
  const Var x = leaf({2});
  backward(sum(mul(x, detach(x))));
  CHECK(grad_of(x) == std::vector<double>{2});
  const NoGrad guard;
  CHECK(!mul(x, x).requires_grad());
}

TEST_CASE("tape: a missing gradient is an error at the call") {
  const Var x = leaf({1});
  CHECK(error_of([&] { no_gradient("argmax", {x}); }) == "argmax: has no gradient; detach its inputs");
  const Var y = record("forgetful", clone(x.value()), {x}, [](const Tensor&, Grads&) {});
  CHECK(error_of([&] { backward(y); }) == "forgetful: backward gave no gradient for input 0");
  CHECK(error_of([&] { backward(Var(from_vector(std::vector{1.0}, {1}))); }) ==
        "backward: nothing here depends on a parameter");
  CHECK(error_of([&] {
          backward(add(leaf({1, 2}), leaf({1, 2})));
        }) == "backward: the loss has shape [2], wanted one element");
}

TEST_CASE("tape: recompute gives the gradients of inputs and of captured leaves") {
  const Var x = leaf({1, 2}), w = leaf({3, 5});
  const auto segment = [=](const Vars& in) { return Vars{mul(mul(in[0], w), in[0])}; };  // w x^2
  backward(sum(recompute(segment, {x})[0]));
  CHECK(grad_of(x) == std::vector<double>{6, 20});
  CHECK(grad_of(w) == std::vector<double>{1, 4});
}

TEST_CASE("tape: every leaf is told of once, when its gradient is complete") {
  const Var a = Var::leaf(full({3}, 2, DType::f64)), b = Var::leaf(full({3}, 5, DType::f64));
  const auto loss = [&] { return sum(mul(mul(a, b), a)); };  // a is read by two ops, b by the first
  std::vector<std::pair<const GradSlot*, double>> told;
  for (int pass = 0; pass < 2; ++pass)
    backward(loss(), [&](const GradSlot& leaf) { told.emplace_back(&leaf, leaf.grad.span<double>()[0]); });
  const std::vector<std::pair<const GradSlot*, double>> wanted{
      {a.slot().get(), 20}, {b.slot().get(), 4}, {a.slot().get(), 40}, {b.slot().get(), 8}};
  CHECK(told == wanted);
  Var c = Var::leaf(full({3}, 2, DType::f64));
  const auto square = [&](const Vars& in) { return Vars{mul(mul(in[0], c), c)}; };
  backward(sum(recompute(square, {a})[0]), [&](const GradSlot& leaf) { CHECK(&leaf == a.slot().get()); });
}

TEST_CASE("tape: a value that no backward needs is freed at once") {
  const Var x = Var::leaf(zeros({1 << 16}, DType::f32));
  const int64_t before = memory::stats(Device::cpu).in_use;
  Var y = x;
  for (int i = 0; i < 10; ++i) y = scale(y, 0.5);  // keeps the factor, not the values
  CHECK(memory::stats(Device::cpu).in_use - before <= 2 * x.value().bytes());
  backward(sum(y));
}

TEST_CASE("allocator: the second round of equal blocks asks the system for nothing") {
  const auto round = [] {
    std::vector<Tensor> live;
    for (int64_t n : {10, 1000, 100'000, 3'000'000}) live.push_back(empty({n}, DType::f32));
  };
  round();
  const int64_t calls = memory::stats(Device::cpu).system_calls;
  round();
  CHECK(memory::stats(Device::cpu).system_calls == calls);
}

TEST_CASE("bf16: converts exactly from, and rounds to nearest even into") {
  CHECK(float(bf16(1.0f)) == 1.0f);
  CHECK(bf16(1.00390625f).bits == 0x3f80);  // 1 + 2^-8: a tie, goes to the even 1.0
  CHECK(bf16(1.01171875f).bits == 0x3f82);  // 1 + 3 * 2^-8: a tie, goes up to even
  CHECK(bf16(1.0040f).bits == 0x3f81);      // just above a tie
  CHECK(std::isnan(float(bf16(std::bit_cast<float>(0x7f800001u)))));
  CHECK(std::isinf(float(bf16(3.4e38f))));
  const Tensor x = from_vector(std::vector<float>{1.5f, -2.25f, 0.1f}, {3});
  CHECK(to(to(x, DType::bf16), DType::f32).data<float>()[1] == -2.25f);
}

}  // namespace rmoe::test
