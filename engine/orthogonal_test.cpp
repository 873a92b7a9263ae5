#include "engine/orthogonal.hpp"

#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

TEST_CASE("orthogonal: rows or columns, whichever are fewer, are orthonormal times the gain") {
  for (const Shape shape : {Shape{16, 352}, Shape{16, 8}, Shape{1, 5}, Shape{7, 7}}) {
    CAPTURE(concat(shape));
    const Tensor x = empty(shape, DType::f64);
    fill_orthogonal(x, 0.32, 5, 6);
    const Array a = to_array(x);
    const int64_t R = shape[0], C = shape[1];
    const bool rows = R <= C;
    for (int64_t i = 0; i < std::min(R, C); ++i)
      for (int64_t j = 0; j < std::min(R, C); ++j) {
        double dot = 0;
        for (int64_t k = 0; k < std::max(R, C); ++k)
          dot += rows ? a[i * C + k] * a[j * C + k] : a[k * C + i] * a[k * C + j];
        CHECK(std::abs(dot - (i == j ? 0.32 * 0.32 : 0)) < 1e-14);
      }
  }
}

TEST_CASE("orthogonal: the same numbers again, others for another seed, float as double") {
  const auto make = [](uint64_t seed, DType dtype) {
    const Tensor x = empty({3, 5}, dtype);
    fill_orthogonal(x, 1, seed, 2);
    return to_array(x).data;
  };
  CHECK(make(1, DType::f64) == make(1, DType::f64));
  CHECK(make(1, DType::f64) != make(2, DType::f64));
  const auto exact = make(1, DType::f64), single = make(1, DType::f32);
  for (size_t i = 0; i < exact.size(); ++i) CHECK(float(exact[i]) == float(single[i]));
}

}  // namespace rmoe::test
