#include "engine/cuda/backend.hpp"
#include "engine/flops.hpp"
#include "ops/grouped_linear/grouped_linear.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

using Offsets = std::vector<int32_t>;

Tensor tensor_of(const Offsets& offsets) { return from_vector(offsets, {int64_t(offsets.size())}); }

void check_grouped(const Offsets& offsets, int64_t F, int64_t C, bool bias, std::vector<int> constant = {}) {
  const int64_t E = int64_t(offsets.size()) - 1, M = offsets.back();
  const auto op = [=](const Vars& in) {
    const bool meta = in[0].value().device() == Device::meta;
    return Vars{
        grouped_linear(in[0], in[1], bias ? in[2] : Var(),
                       meta ? empty({E + 1}, DType::i32, Device::meta) : beside(in[0], tensor_of(offsets)))};
  };
  const auto reference = [=](const Arrays& in) {
    Array y({M, F});
    for (int64_t e = 0; e < E; ++e)
      for (int64_t m = offsets[e]; m < offsets[e + 1]; ++m)
        for (int64_t f = 0; f < F; ++f) {
          double sum = bias ? in[2][e * F + f] : 0;
          for (int64_t c = 0; c < C; ++c) sum += in[0][m * C + c] * in[1][(e * F + f) * C + c];
          y[m * F + f] = sum;
        }
    return Arrays{y};
  };
  Arrays inputs{random({M, C}), random({E, F, C}, -1, 1, 2)};
  if (bias) inputs.push_back(random({E, F}));
  check_op({.name = concat("grouped ", Shape{M, E, F, C}, bias ? " with bias" : ""),
            .inputs = inputs,
            .op = op,
            .reference = reference,
            .constant = constant,
            .weights = {1, 2}});
}

}  // namespace

TEST_CASE("grouped_linear") {
  check_grouped({0, 2, 5}, 3, 4, false);
  check_grouped({0, 2, 5}, 3, 4, true);
  check_grouped({0, 1}, 1, 1, true);
  check_grouped({0, 0, 3, 3, 7, 7}, 5, 3, true);
  check_grouped({0, 0, 0}, 2, 3, true);
  check_grouped({0, 150, 150, 301}, 131, 37, true);
  check_grouped({0, 8, 8, 30}, 8, 16, true);  // multiples of eight: for tensor cores, if there are any
  check_grouped({0, 2, 5}, 3, 4, true, {0});
  check_grouped({0, 2, 5}, 3, 4, true, {1, 2});
  if (!cuda::available()) return;
  check_grouped({0, 129, 129, 130, 300}, 136, 264, false);  // edges of the tiles of tensor cores
  check_grouped({0, 0, 70, 300}, 224, 72, true);            // a width of two tiles of 112
}

TEST_CASE("grouped_linear gives an expert without rows a gradient of zero") {
  const Var x = Var::leaf(to_tensor(random({3, 2}), DType::f32));
  const Var w = Var::leaf(to_tensor(random({3, 2, 2}), DType::f32));
  const Var b = Var::leaf(to_tensor(random({3, 2}), DType::f32));
  backward({grouped_linear(x, w, b, tensor_of({0, 2, 2, 3}))}, {full({3, 2}, 1, DType::f32)});
  for (int i = 4; i < 8; ++i) CHECK(w.grad().span<float>()[i] == 0);
  for (int i = 2; i < 4; ++i) CHECK(b.grad().span<float>()[i] == 0);
}

TEST_CASE("grouped_linear counts the work of its rows, forward and backward") {
  const Var x = Var::leaf(zeros({5, 4}, DType::f32)), w = Var::leaf(zeros({2, 3, 4}, DType::f32));
  const double before = flops_counted();
  const Var y = grouped_linear(x, w, {}, tensor_of({0, 2, 5}));
  CHECK(flops_counted() - before == 2 * 5 * 3 * 4);
  backward({y}, {zeros({5, 3}, DType::f32)});
  CHECK(flops_counted() - before == 3 * 2 * 5 * 3 * 4);
}

TEST_CASE("grouped_linear goes back with the bf16 products that it went forward with") {
  check_keeps_products({1, 1, 1}, [](const Var& x, const Var& w) {
    return grouped_linear(x, w, {}, tensor_of({0, 1}));
  });
}

TEST_CASE("grouped_linear names the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  const Tensor offsets = tensor_of({0, 2, 5});
  CHECK(error_of([&] {
          grouped_linear(t({5, 3}), t({2, 3, 4}), {}, offsets);
        }) == "grouped_linear: weight [2,3,4] does not fit x [5,3]");
  CHECK(error_of([&] {
          grouped_linear(t({5, 4}), t({2, 3, 4}), t({3}), offsets);
        }) == "grouped_linear: bias [3] does not fit weight [2,3,4]");
  CHECK(error_of([&] {
          grouped_linear(t({5, 4}), t({3, 3, 4}), {}, offsets);
        }) == "grouped_linear: offsets [3] do not fit weight [3,3,4]");
  CHECK(error_of([&] {
          grouped_linear(t({4, 4}), t({2, 3, 4}), {}, offsets);
        }) == "grouped_linear: offsets end at 5, x has 4 rows");
}

}  // namespace rmoe::test
