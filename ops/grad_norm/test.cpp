#include "engine/parallel.hpp"
#include "ops/grad_norm/grad_norm.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>

namespace rmoe::test {
namespace {

constexpr int64_t kSeveralChunks = (1 << 14) * 2 + 5;

double reference(const Arrays& grads) {
  long double squares = 0;
  for (const Array& g : grads)
    for (double x : g.data) squares += (long double)x * x;
  return double(std::sqrt(squares));
}

Tensors to_tensors(const Arrays& arrays, DType dtype) {
  Tensors tensors;
  for (const Array& a : arrays) tensors.push_back(to_tensor(a, dtype));
  return tensors;
}

}  // namespace

TEST_CASE("global_norm is the length of all gradients taken as one vector") {
  const Arrays grads{random({2, 3}), random({0, 4}), random({1}), random({kSeveralChunks}, -1e-3, 1e-3)};
  for (DType dtype : {DType::f32, DType::f64})
    CHECK(global_norm(to_tensors(grads, dtype)) == doctest::Approx(reference(grads)).epsilon(1e-13));
  CHECK(global_norm({from_vector<float>({3}, {1}), from_vector<float>({4}, {1, 1})}) == 5);
}

TEST_CASE("global_norm counts nothing for absent gradients") {
  CHECK(global_norm({}) == 0);
  CHECK(global_norm({Tensor(), from_vector<double>({-2}, {1}), Tensor()}) == 2);
  CHECK(global_norm({empty({3}, DType::f32, Device::meta)}) == 0);
}

TEST_CASE("global_norm does not overflow where float would, and keeps small squares") {
  CHECK(global_norm({from_vector<float>({3e30f, 4e30f}, {2})}) == doctest::Approx(5e30).epsilon(1e-6));
  CHECK(global_norm({from_vector<float>({3e-30f, 4e-30f}, {2})}) == doctest::Approx(5e-30).epsilon(1e-6));
}

TEST_CASE("global_norm shows NaN and infinity") {
  Array g = random({kSeveralChunks});
  g[kSeveralChunks - 1] = -std::numeric_limits<double>::infinity();
  CHECK(std::isinf(global_norm(to_tensors({random({3}), g}, DType::f32))));
  g[0] = std::nan("");
  CHECK(std::isnan(global_norm(to_tensors({random({3}), g}, DType::f32))));
}

TEST_CASE("global_norm gives the same bits at any thread count") {
  const Tensors grads = to_tensors({random({kSeveralChunks}), random({17, 3})}, DType::f32);
  const int before = thread_count();
  std::vector<double> norms;
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    norms.push_back(global_norm(grads));
  }
  set_thread_count(before);
  CHECK(norms[1] == norms[0]);
  CHECK(norms[2] == norms[0]);
}

TEST_CASE("clip_scale brings the norm down to the limit and never up") {
  CHECK(clip_scale(4, 1) == 0.25);
  CHECK(clip_scale(0.5, 1) == 1);
  CHECK(clip_scale(0, 1) == 1);
  CHECK(clip_scale(100, 0) == 1);
  CHECK(std::isnan(clip_scale(std::nan(""), 1)));
  CHECK(error_of([] { clip_scale(1, -1); }) == "clip_scale: max_norm -1, wanted 0 (off) or more");
}

}  // namespace rmoe::test
