#include "ops/dropout/dropout.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>

namespace rmoe::test {
namespace {

/// One by one, straight from the definition.
Array reference(const Array& x, double p, const RandomStream& stream, const std::vector<int32_t>& rows = {}) {
  const int64_t F = x.shape[-1], N = F ? x.shape.numel() / F : 0;
  Array y(x.shape);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t j = 0; j < F; ++j) {
      const int64_t number = stream.offset + (rows.empty() ? n : rows[n]) * F + j;
      const double u = uniform_at(stream.seed, stream.stream, number);
      y[n * F + j] = u >= p ? x[n * F + j] / (1 - p) : 0;
    }
  return y;
}

void check(Shape shape, double p, const RandomStream& stream) {
  check_op({concat(shape, ", p ", p, ", offset ", stream.offset),
            {random(shape)},
            [=](const Vars& in) { return Vars{dropout(in[0], p, stream)}; },
            [=](const Arrays& in) { return Arrays{reference(in[0], p, stream)}; }});
}

Tensor ones(Shape shape) { return under_test(full(shape, 1, DType::f32)); }

}  // namespace

TEST_CASE("dropout: element (n, j) is decided by number offset + n F + j") {
  check({1}, 0.5, {7, 8, 0});
  check({0, 3}, 0.5, {7, 8, 0});
  check({2, 3, 5}, 0.1, {7, 8, 0});
  check({3, 7}, 0.9, {7, 8, 5});
  check({37, 521}, 0.25, {~uint64_t{0}, 3, 2});           // longer than two chunks
  check({5, 300}, 0.5, {7, 8, (int64_t{1} << 34) - 77});  // the block counter carries into its upper word
}

TEST_CASE("dropout: with row_index, row n is decided by the numbers of row_index[n]") {
  std::vector<int32_t> rows(67);
  for (size_t n = 0; n < rows.size(); ++n) rows[n] = int32_t(n * 31 % 53 + (n == 5) * 100000000);
  for (int64_t F : {1, 7, 352}) {
    const RandomStream stream{1, 2, 3};
    const Tensor row_index = from_vector(rows, {67});
    check_op({concat("F ", F),
              {random({67, F})},
              [=](const Vars& in) { return Vars{dropout(in[0], 0.3, stream, beside(in[0], row_index))}; },
              [=](const Arrays& in) { return Arrays{reference(in[0], 0.3, stream, rows)}; }});
  }
}

TEST_CASE("dropout: u equal to p is kept, and no p rounds to another mask") {
  const RandomStream stream{11, 12, 0};
  const float u = uniform_at(stream.seed, stream.stream, 0);
  const auto kept = [&](double p) { return dropout(Var(ones({1})), p, stream).value().item() != 0; };
  CHECK(kept(u));
  CHECK(!kept(std::nextafter(double(u), 1.0)));
  CHECK(kept(std::nextafter(double(u), 0.0)));
  CHECK(!kept(std::nextafter(1.0, 0.0)));
}

TEST_CASE("dropout keeps a share 1 - p of the elements, and the mean") {
  constexpr int64_t n = 1 << 20;
  for (double p : {0.1, 0.5, 0.9}) {
    const Tensor y = to(dropout(Var(ones({1024, n / 1024})), p, {5, 6, 0}).value(), Device::cpu);
    double sum = 0, squares = 0;
    for (float value : y.span<float>()) sum += value, squares += double(value) * value;
    const double mean = sum / n, variance = squares / n - mean * mean, wanted = p / (1 - p);
    const double fourth = wanted * (1 / ((1 - p) * (1 - p)) - 3 / (1 - p) + 3);  // central moment of the mask
    CHECK(std::fabs(mean - 1) < 5 * std::sqrt(wanted / n));
    CHECK(std::fabs(variance - wanted) < 5 * std::sqrt((fourth - wanted * wanted) / n) + 1e-5);
  }
}

TEST_CASE("dropout with p = 0 is x itself") {
  const Var x = Var::leaf(ones({2, 3}));
  const Var y = dropout(x, 0, {1, 2, 3});
  CHECK(y.value().raw() == x.value().raw());
  CHECK(y.slot() == x.slot());
}

TEST_CASE("dropout: what is dropped is 0, be it infinite or NaN") {
  const Tensor x = under_test(full({64}, std::numeric_limits<double>::quiet_NaN(), DType::f32));
  const Tensor y = to(dropout(Var(x), 0.5, {1, 2, 0}).value(), Device::cpu);
  for (int64_t i = 0; i < 64; ++i) CHECK(std::isnan(y.span<float>()[i]) == (uniform_at(1, 2, i) >= 0.5f));
}

TEST_CASE("dropout names what does not fit") {
  const Var x(zeros({2, 3, 8}, DType::f32));
  const RandomStream stream;
  CHECK(error_of([&] { dropout(x, 1, stream); }) == "dropout: p 1 is not in [0, 1)");
  CHECK(error_of([&] { dropout(x, -0.1, stream); }) == "dropout: p -0.1 is not in [0, 1)");
  CHECK(error_of([&] { dropout(x, std::nan(""), stream); }) == "dropout: p nan is not in [0, 1)");
  CHECK(error_of([&] { dropout(x, 0.5, stream, zeros({5}, DType::i32)); }) ==
        "dropout: row_index [5] does not fit x [2,3,8]");
  CHECK(error_of([&] { dropout(Var(zeros({}, DType::f32)), 0.5, stream); }) == "dropout: x [] has no rows");
}

}  // namespace rmoe::test
