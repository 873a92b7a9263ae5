#include "engine/flops.hpp"
#include "engine/memory.hpp"
#include "ops/cross_entropy/cross_entropy.hpp"
#include "ops/linear/linear.hpp"
#include "ops/linear_cross_entropy/linear_cross_entropy.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

constexpr int64_t kDefault = int64_t{1} << 24;

/// Every seventh row is not counted.
Tensor some_targets(int64_t N, int64_t V, Device device = Device::cpu) {
  if (device == Device::meta) return empty({N}, DType::i32, device);
  std::vector<int32_t> targets;
  for (int64_t n = 0; n < N; ++n) targets.push_back(n % 7 == 5 ? -1 : int32_t((n * n + V - 1) % V));
  return from_vector(targets, {N});
}

Vars op(const Vars& in, int64_t most_logits) {
  const Var &x = in[0], &w = in[1];
  const Device device = x.value().device() == Device::meta ? Device::meta : Device::cpu;
  const Tensor targets = beside(x, some_targets(x.dim(0), w.dim(0), device));
  return {linear_cross_entropy(x, w, in.size() > 2 ? in[2] : Var(), targets, most_logits)};
}

Vars composition(const Vars& in) {
  const Tensor targets = some_targets(in[0].dim(0), in[1].dim(0));
  return {cross_entropy(linear(in[0], in[1], in.size() > 2 ? in[2] : Var()), targets)};
}

Arrays reference(const Arrays& in) {
  Vars inputs;
  for (const Array& a : in) inputs.emplace_back(to_tensor(a, DType::f64));
  return {to_array(composition(inputs)[0].value())};
}

void check_blocks(const std::string& name, int64_t N, int64_t C, int64_t V, int64_t most_logits,
                  bool with_bias = true) {
  OpCase c{
      .name = name,
      .inputs = {random({N, C}), random({V, C}, -2, 2, 2)},
      .op = [=](const Vars& in) { return op(in, most_logits); },
      .reference = reference,
      .weights = {1, 2},
      .bf16_tolerance = 4e-2};  // bf16 logits: as far off as 2^-9 of them, and the sum of blocks rounded too
  if (with_bias) c.inputs.push_back(random({V}, -3, 3, 3));
  check_op(c);
}

struct Gradients {
  Tensors of;

  Gradients(const Arrays& inputs, DType dtype, const std::function<Vars(const Vars&)>& f) {
    Vars leaves;
    for (const Array& a : inputs) leaves.push_back(Var::leaf(to_tensor(a, dtype)));
    backward(f(leaves)[0]);
    for (const Var& leaf : leaves) of.push_back(leaf.grad());
  }
};

/// The most bytes alive during forward and backward beyond what was there and what stays.
int64_t work_bytes(int64_t N, int64_t C, int64_t V, int64_t most_logits, Device device) {
  Vars in{Var::leaf(empty({N, C}, DType::f32, device)), Var::leaf(empty({V, C}, DType::f32, device)),
          Var::leaf(empty({V}, DType::f32, device))};
  for (Var& leaf : in) {
    if (device == Device::cpu) fill(leaf.value(), 0.1);
    leaf.reserve_grad();
  }
  const int64_t before = memory::stats(device).in_use;
  memory::reset_peak(device);
  const Var loss = op(in, most_logits)[0];
  backward({loss}, {empty({}, DType::f32, device)});
  return memory::stats(device).peak - before;
}

}  // namespace

TEST_CASE("linear_cross_entropy") {
  check_blocks("one block, logits kept", 7, 5, 11, kDefault);
  check_blocks("no bias", 7, 5, 11, kDefault, false);
  check_blocks("one of everything", 1, 1, 1, kDefault);
  check_blocks("whole rows, an odd remainder", 13, 3, 7, 4 * 7);
  check_blocks("columns, an odd remainder", 4, 3, 23, 4 * 5);
  check_blocks("rows and columns, odd remainders of both", 29, 5, 31, 8 * 8 + 3);
  check_blocks("no bias, rows and columns", 29, 5, 31, 8 * 8, false);
  check_blocks("logits one by one", 3, 2, 4, 1);
  check_blocks("more than one tile", 131, 17, 307, 64 * 128);
}

TEST_CASE("linear_cross_entropy is cross_entropy(linear()), gradients included, however it is cut") {
  const Arrays in{random({37, 9}), random({53, 9}, -2, 2, 2), random({53}, -3, 3, 3)};
  const Gradients wanted(in, DType::f64, composition);
  for (const int64_t most_logits : {kDefault, 37 * int64_t{53}, int64_t{300}, int64_t{53}, int64_t{10}}) {
    CAPTURE(most_logits);
    const Gradients got(in, DType::f64, [=](const Vars& v) { return op(v, most_logits); });
    for (size_t i = 0; i < in.size(); ++i) {
      const Array a = to_array(got.of[i]), b = to_array(wanted.of[i]);
      for (size_t j = 0; j < a.data.size(); ++j)
        CHECK(a.data[j] == doctest::Approx(b.data[j]).scale(1e-3).epsilon(1e-12));
    }
  }
}

TEST_CASE("linear_cross_entropy of masked rows alone is 0, and so are its gradients") {
  const Arrays in{random({5, 3}), random({11, 3}, -2, 2, 2), random({11}, -3, 3, 3)};
  const Tensor targets = full({5}, -1, DType::i32);
  for (const int64_t most_logits : {kDefault, int64_t{12}}) {
    const auto f = [&](const Vars& v) {
      const Var loss = linear_cross_entropy(v[0], v[1], v[2], targets, most_logits);
      CHECK(loss.value().item() == 0);
      return Vars{loss};
    };
    for (const Tensor& g : Gradients(in, DType::f64, f).of)
      for (double x : g.span<double>()) CHECK(x == 0);
  }
}

TEST_CASE("linear_cross_entropy survives logits far apart, in whichever block the largest is") {
  for (const int32_t largest : {0, 5, 9}) {
    std::vector<float> bias(10, -100);
    bias[largest] = 100;
    const Var x(zeros({1, 1}, DType::f32)), w(zeros({10, 1}, DType::f32)), b(from_vector(bias, {10}));
    const auto loss = [&](int32_t target) {
      return linear_cross_entropy(x, w, b, from_vector<int32_t>({target}, {1}), 3).value().item();
    };
    CHECK(loss(largest) == 0);
    CHECK(loss((largest + 1) % 10) == 200);
    bias[3] = std::nanf("");
    const Var bad(from_vector(bias, {10}));
    CHECK(
        std::isnan(linear_cross_entropy(x, w, bad, from_vector<int32_t>({largest}, {1}), 3).value().item()));
  }
}

TEST_CASE("linear_cross_entropy gives only the gradients that are wanted") {
  const Arrays in{random({13, 4}), random({17, 4}, -1, 1, 2), random({17})};
  for (int constant = 0; constant < 3; ++constant)
    for (const int64_t most_logits : {kDefault, int64_t{20}}) {
      OpCase c{concat("input ", constant, " is constant"), in,
               [=](const Vars& v) { return op(v, most_logits); }, reference};
      c.constant = {constant};
      c.weights = {1, 2};
      check_op(c);
    }
}

TEST_CASE("linear_cross_entropy never holds more logits than allowed") {
  const int64_t N = 301, C = 8, V = 1009, most_logits = 1 << 12, small = 160 << 10;  // bytes of rows and sums
  const int64_t bytes = work_bytes(N, C, V, most_logits, Device::cpu);
  CHECK(bytes < 4 * most_logits + small);
  CHECK(bytes < N * V);  // a quarter of all logits
  CHECK(work_bytes(N, C, V, most_logits, Device::meta) < 4 * most_logits + small);
  CHECK(work_bytes(N, C, V, N * V, Device::cpu) > 4 * N * V);  // kept, because they may be
}

TEST_CASE("linear_cross_entropy of WikiText-103's vocabulary works in 64 MiB beside its inputs") {
  const int64_t mib = 1 << 20;
  const double flops = flops_counted();
  CHECK(work_bytes(12288, 352, 267735, kDefault, Device::meta) < 66 * mib);
  CHECK(flops_counted() - flops == 3 * 2.0 * 12288 * 352 * 267735);  // the second run is not counted
}

TEST_CASE("linear_cross_entropy names what does not fit") {
  const auto error = [](Shape x, Shape w, Shape b, const Tensor& targets, int64_t most_logits = kDefault) {
    return error_of([&] {
      linear_cross_entropy(Var(zeros(x, DType::f32)), Var(zeros(w, DType::f32)), Var(zeros(b, DType::f32)),
                           targets, most_logits);
    });
  };
  const Tensor targets = from_vector<int32_t>({0, 5, 4}, {3});
  CHECK(error({3, 2}, {5, 2}, {5}, targets) ==
        "cross_entropy: target 5 at position 1 is not in [0, 5) and not -1");
  CHECK(error({3, 2}, {5, 2}, {5}, targets, 4) ==
        "cross_entropy: target 5 at position 1 is not in [0, 5) and not -1");
  CHECK(error({1, 2}, {5, 2}, {5}, from_vector<int32_t>({-2}, {1})) ==
        "cross_entropy: target -2 at position 0 is not in [0, 5) and not -1");
  CHECK(error({3, 2}, {5, 4}, {5}, targets) == "linear_cross_entropy: weight [5,4] does not fit x [3,2]");
  CHECK(error({3, 2}, {6, 2}, {5}, targets) == "linear_cross_entropy: bias [5] does not fit weight [6,2]");
  CHECK(error({4, 2}, {6, 2}, {6}, targets) == "linear_cross_entropy: targets [3] do not fit x [4,2]");
  CHECK(error({0, 2}, {6, 2}, {6}, from_vector<int32_t>({}, {0})) ==
        "linear_cross_entropy: x [0,2], wanted [N,C] with at least one row");
  CHECK(error({3, 2}, {6, 2}, {6}, zeros({3}, DType::f32)) ==
        "linear_cross_entropy: targets are f32, wanted i32");
  CHECK(error({3, 2}, {6, 2}, {6}, targets, 0) ==
        "linear_cross_entropy: blocks of 0 logits, wanted at least 1");
}

}  // namespace rmoe::test
