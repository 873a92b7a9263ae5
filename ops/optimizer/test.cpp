#include "engine/parallel.hpp"
#include "ops/optimizer/optimizer.hpp"
#include "tests/op_case.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

struct State {
  Array p, m, v;
};

/// torch.optim.Adam and AdamW, word for word, one element at a time.
void reference_step(State& s, const Array& grad, const AdamOptions& o, int64_t step, double grad_scale) {
  for (size_t i = 0; i < grad.data.size(); ++i) {
    double &p = s.p.data[i], &m = s.m.data[i], &v = s.v.data[i], g = grad.data[i] * grad_scale;
    if (o.decoupled)
      p = p * (1 - o.lr * o.weight_decay);
    else
      g = g + o.weight_decay * p;
    m = m * o.beta1 + (1 - o.beta1) * g;
    v = v * o.beta2 + (1 - o.beta2) * g * g;
    const double correction1 = 1 - std::pow(o.beta1, step), correction2 = 1 - std::pow(o.beta2, step);
    const double denominator = std::sqrt(v) / std::sqrt(correction2) + o.eps;
    p = p - o.lr / correction1 * m / denominator;
  }
}

Array gradient_of(Shape shape, int64_t step) { return random(shape, -2, 2, 100 + step); }

/// Param, m and v after `steps` steps.
Tensors train(DType dtype, Shape shape, const AdamOptions& options, int64_t steps, double grad_scale) {
  const Tensor p = clone(to_tensor(random(shape), dtype));
  const Tensor m = zeros(shape, acc_type(dtype)), v = zeros(shape, acc_type(dtype));
  for (int64_t t = 1; t <= steps; ++t)
    adam_step(p, to_tensor(gradient_of(shape, t), dtype), m, v, options, t, grad_scale);
  return {p, m, v};
}

bool all_close(const Tensor& got, const Array& wanted, double tolerance) {
  const Array values = to_array(got);
  return std::equal(values.data.begin(), values.data.end(), wanted.data.begin(), wanted.data.end(),
                    [=](double a, double b) { return std::fabs(a - b) < tolerance; });
}

void check_against_torch(DType dtype, const AdamOptions& options, double grad_scale, double tolerance) {
  const Shape shape{3, 7};
  const int64_t steps = 6;
  State wanted{random(shape), Array(shape), Array(shape)};
  for (int64_t t = 1; t <= steps; ++t) reference_step(wanted, gradient_of(shape, t), options, t, grad_scale);
  const Tensors got = train(dtype, shape, options, steps, grad_scale);
  CHECK(all_close(got[0], wanted.p, tolerance));
  CHECK(all_close(got[1], wanted.m, tolerance));
  CHECK(all_close(got[2], wanted.v, tolerance));
}

}  // namespace

TEST_CASE("adam_step follows torch over several steps") {
  const AdamOptions plain{.lr = 0.01};
  const AdamOptions adamw{.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.3};
  const AdamOptions l2{.lr = 0.02, .weight_decay = 0.3, .decoupled = false};
  for (const AdamOptions& options : {plain, adamw, l2})
    for (double grad_scale : {1.0, 0.25}) {
      check_against_torch(DType::f64, options, grad_scale, 1e-14);
      check_against_torch(DType::f32, options, grad_scale, 1e-6);
    }
}

TEST_CASE("adam_step first moves every weight by lr against the sign of its gradient") {
  const Tensor p = zeros({2}, DType::f64), m = zeros({2}, DType::f64), v = zeros({2}, DType::f64);
  adam_step(p, from_vector<double>({1e-3, -1e3}, {2}), m, v, {.lr = 0.1}, 1);
  CHECK(p.data<double>()[0] == doctest::Approx(-0.1).epsilon(1e-4));
  CHECK(p.data<double>()[1] == doctest::Approx(0.1).epsilon(1e-4));
}

TEST_CASE("adam_step gives the same bits at any thread count") {
  const AdamOptions options{.lr = 0.01, .weight_decay = 0.1};
  const Shape shape{(1 << 14) * 2 + 7};  // several chunks
  const int before = thread_count();
  std::vector<Tensors> runs;
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    runs.push_back(train(DType::f32, shape, options, 2, 0.5));
  }
  set_thread_count(before);
  for (const Tensors& run : runs)
    for (size_t i = 0; i < run.size(); ++i) CHECK(to_array(run[i]).data == to_array(runs[0][i]).data);
}

TEST_CASE("adam_step takes empty and meta tensors") {
  const Tensor none = zeros({0, 3}, DType::f32), meta = empty({5}, DType::f32, Device::meta);
  adam_step(none, none, none, none, {.lr = 1}, 1);
  adam_step(meta, meta, meta, meta, {.lr = 1}, 1);
}

TEST_CASE("adam_step names what does not fit") {
  const auto t = [](Shape s, DType dtype = DType::f32) { return zeros(s, dtype); };
  const auto error = [&](const Tensor& grad, const Tensor& m, const Tensor& v, int64_t step = 1) {
    return error_of([&] { adam_step(t({2, 3}), grad, m, v, {.lr = 1}, step); });
  };
  const Tensor good = t({2, 3});
  CHECK(error(t({3}), good, good) == "adam_step: grad [3] does not fit param [2,3]");
  CHECK(error(Tensor(), good, good) == "adam_step: grad [] does not fit param [2,3]");
  CHECK(error(good, t({3, 2}), good) == "adam_step: m [3,2] does not fit param [2,3]");
  CHECK(error(good, good, t({2, 4})) == "adam_step: v [2,4] does not fit param [2,3]");
  CHECK(error(good, good, t({2, 3}, DType::f64)) == "adam_step: v is f64, wanted f32 for a param of f32");
  CHECK(error(good, good, good, 0) == "adam_step: step 0, wanted 1 or more");
}

}  // namespace rmoe::test
