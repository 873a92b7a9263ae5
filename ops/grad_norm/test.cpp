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

/// fp32 where the tests run; there is no double on a GPU.
Tensors to_tensors(const Arrays& arrays, DType dtype = DType::f32) {
  Tensors tensors;
  for (const Array& a : arrays) {
    const Tensor t = to_tensor(a, dtype);
    tensors.push_back(dtype == DType::f32 ? under_test(t) : t);
  }
  return tensors;
}

double norm_of(const Tensors& grads) { return global_norm(grads).item(); }
double norm_of(const std::vector<float>& grad) {
  return norm_of({under_test(from_vector(grad, {int64_t(grad.size())}))});
}

double scale_of(double norm, double max_norm) {
  return clip_scale(under_test(full({}, norm, DType::f64)), max_norm).item();
}

}  // namespace

TEST_CASE("global_norm is the length of all gradients taken as one vector") {
  const Arrays grads{random({2, 3}), random({0, 4}), random({1}), random({kSeveralChunks}, -1e-3, 1e-3)};
  for (DType dtype : {DType::f32, DType::f64})
    CHECK(norm_of(to_tensors(grads, dtype)) == doctest::Approx(reference(grads)).epsilon(1e-13));
  CHECK(norm_of(to_tensors({Array({1}, 3), Array({1, 1}, 4)})) == 5);
}

TEST_CASE("global_norm takes more gradients than fit into one launch") {
  Arrays grads;
  for (int64_t i = 0; i < 101; ++i) grads.push_back(random({i % 5, 7}, -1, 1, uint64_t(i + 1)));
  grads[50] = random({kSeveralChunks});
  CHECK(norm_of(to_tensors(grads)) == doctest::Approx(reference(grads)).epsilon(1e-13));
}

TEST_CASE("global_norm counts nothing for absent gradients") {
  CHECK(norm_of(Tensors{}) == 0);
  CHECK(norm_of({Tensor(), under_test(full({1}, -2, DType::f32)), Tensor()}) == 2);
  CHECK(norm_of({under_test(zeros({0}, DType::f32))}) == 0);
  CHECK(global_norm({empty({3}, DType::f32, Device::meta)}).device() == Device::meta);
}

TEST_CASE("global_norm does not overflow where float would, and keeps small squares") {
  CHECK(norm_of({3e30f, 4e30f}) == doctest::Approx(5e30).epsilon(1e-6));
  CHECK(norm_of({3e-30f, 4e-30f}) == doctest::Approx(5e-30).epsilon(1e-6));
}

TEST_CASE("global_norm shows NaN and infinity") {
  Array g = random({kSeveralChunks});
  g[kSeveralChunks - 1] = -std::numeric_limits<double>::infinity();
  CHECK(std::isinf(norm_of(to_tensors({random({3}), g}))));
  g[0] = std::nan("");
  CHECK(std::isnan(norm_of(to_tensors({random({3}), g}))));
}

TEST_CASE("global_norm gives the same bits at any thread count") {
  const Tensors grads = to_tensors({random({kSeveralChunks}), random({17, 3})});
  const int before = thread_count();
  std::vector<double> norms;
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    norms.push_back(norm_of(grads));
  }
  set_thread_count(before);
  CHECK(norms[1] == norms[0]);
  CHECK(norms[2] == norms[0]);
}

TEST_CASE("joined_norm of the norms of parts is the norm of the whole") {
  const Arrays parts{random({5}), random({7, 3}), random({kSeveralChunks})};
  const Tensors tensors = to_tensors(parts);
  Array norms({3});
  for (size_t i = 0; i < tensors.size(); ++i) norms.data[i] = global_norm({tensors[i]}).item();
  const Tensor all = under_test(to_tensor(norms, DType::f64));
  CHECK(joined_norm(all).item() == doctest::Approx(reference(parts)).epsilon(1e-12));
  CHECK(joined_norm(zeros({1}, DType::f64)).item() == 0);
  CHECK(error_of([] { joined_norm(zeros({1}, DType::f32)); }) == "joined_norm: norms are f32, not f64");
}

TEST_CASE("clip_scale brings the norm down to the limit and never up") {
  CHECK(scale_of(4, 1) == 0.25);
  CHECK(scale_of(0.5, 1) == 1);
  CHECK(scale_of(0, 1) == 1);
  CHECK(scale_of(100, 0) == 1);
  CHECK(std::isnan(scale_of(std::nan(""), 1)));
  CHECK(error_of([] { scale_of(1, -1); }) == "clip_scale: max_norm -1, wanted 0 (off) or more");
}

TEST_CASE("global_norm names what it cannot take together") {
  CHECK(error_of([] {
          norm_of({zeros({1}, DType::f32), zeros({1}, DType::f64)});
        }) == "global_norm: a gradient is f64 on cpu, another f32 on cpu");
}

}  // namespace rmoe::test
