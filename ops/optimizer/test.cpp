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

struct Rule {
  AdamOptions options;
  double weight_decay = 0;
};

/// torch.optim.Adam and AdamW, word for word, one element at a time.
void reference_step(State& s, const Array& grad, const Rule& rule, int64_t step, double grad_scale) {
  const AdamOptions& o = rule.options;
  for (size_t i = 0; i < grad.data.size(); ++i) {
    double &p = s.p.data[i], &m = s.m.data[i], &v = s.v.data[i], g = grad.data[i] * grad_scale;
    if (o.decoupled)
      p = p * (1 - o.lr * rule.weight_decay);
    else
      g = g + rule.weight_decay * p;
    m = m * o.beta1 + (1 - o.beta1) * g;
    v = v * o.beta2 + (1 - o.beta2) * g * g;
    const double correction1 = 1 - std::pow(o.beta1, step), correction2 = 1 - std::pow(o.beta2, step);
    const double denominator = std::sqrt(v) / std::sqrt(correction2) + o.eps;
    p = p - o.lr / correction1 * m / denominator;
  }
}

Array gradient_of(Shape shape, int64_t step) { return random(shape, -2, 2, 100 + step); }

/// On the device under test, except in double, which a GPU has none of.
Tensor placed(const Tensor& x) { return x.dtype() == DType::f64 ? x : under_test(x); }
Tensor scalar(double x, const Tensor& like) { return full({}, x, DType::f64, like.device()); }

AdamParameter parameter(const Array& value, DType dtype, double weight_decay) {
  const Tensor p = placed(clone(to_tensor(value, dtype)));
  const auto zero = [&] { return placed(zeros(value.shape, dtype)); };
  return {.value = p, .grad = zero(), .m = zero(), .v = zero(), .weight_decay = weight_decay};
}

void give_gradient(AdamParameter& p, int64_t step) {
  p.grad = placed(to_tensor(gradient_of(p.value.shape(), step), p.value.dtype()));
}

/// Param, m and v after `steps` steps.
Tensors train(DType dtype, Shape shape, const Rule& rule, int64_t steps, double grad_scale) {
  AdamParameter p = parameter(random(shape), dtype, rule.weight_decay);
  for (int64_t t = 1; t <= steps; ++t) {
    give_gradient(p, t);
    adam_step({p}, rule.options, t, scalar(grad_scale, p.value));
  }
  return {p.value, p.m, p.v};
}

bool all_close(const Tensor& got, const Array& wanted, double tolerance) {
  const Array values = to_array(got);
  return std::equal(values.data.begin(), values.data.end(), wanted.data.begin(), wanted.data.end(),
                    [=](double a, double b) { return std::fabs(a - b) < tolerance; });
}

void check_against_torch(DType dtype, const Rule& rule, double grad_scale, double tolerance) {
  const Shape shape{3, 7};
  const int64_t steps = 6;
  State wanted{random(shape), Array(shape), Array(shape)};
  for (int64_t t = 1; t <= steps; ++t) reference_step(wanted, gradient_of(shape, t), rule, t, grad_scale);
  const Tensors got = train(dtype, shape, rule, steps, grad_scale);
  CHECK(all_close(got[0], wanted.p, tolerance));
  CHECK(all_close(got[1], wanted.m, tolerance));
  CHECK(all_close(got[2], wanted.v, tolerance));
}

}  // namespace

TEST_CASE("adam_step follows torch over several steps") {
  const Rule plain{{.lr = 0.01}};
  const Rule adamw{{.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3}, 0.3};
  const Rule l2{{.lr = 0.02, .decoupled = false}, 0.3};
  for (const Rule& rule : {plain, adamw, l2})
    for (double grad_scale : {1.0, 0.25}) {
      check_against_torch(DType::f64, rule, grad_scale, 1e-14);
      check_against_torch(DType::f32, rule, grad_scale, 1e-6);
    }
}

TEST_CASE("adam_step does to many parameters at once what it does to each, and rounds those that want it") {
  const AdamOptions options{.lr = 0.02};
  std::vector<AdamParameter> together, apart;
  for (int64_t i = 0; i < 101; ++i) {
    const Array value = random({i == 50 ? (1 << 14) * 2 + 7 : i % 4, 3}, -1, 1, uint64_t(i + 1));
    for (auto* parameters : {&together, &apart}) {
      parameters->push_back(parameter(value, DType::f32, 0.1 * double(i % 3)));
      give_gradient(parameters->back(), i);
    }
    if (i % 2) together.back().rounded = placed(zeros(value.shape, DType::bf16));
  }
  const Tensor scale = scalar(0.5, together[0].value);
  adam_step(together, options, 3, scale);
  for (const AdamParameter& p : apart) adam_step({p}, options, 3, scale);
  for (size_t i = 0; i < together.size(); ++i) {
    CHECK(to_array(together[i].value).data == to_array(apart[i].value).data);
    CHECK(to_array(together[i].v).data == to_array(apart[i].v).data);
    if (i % 2) CHECK(to_array(together[i].rounded).data == to_array(to(apart[i].value, DType::bf16)).data);
  }
}

TEST_CASE("adam_step first moves every weight by lr against the sign of its gradient") {
  AdamParameter p = parameter(Array({2}), DType::f32, 0);
  p.grad = under_test(from_vector<float>({1e-3f, -1e3f}, {2}));
  adam_step({p}, {.lr = 0.1}, 1, scalar(1, p.value));
  CHECK(to_array(p.value)[0] == doctest::Approx(-0.1).epsilon(1e-4));
  CHECK(to_array(p.value)[1] == doctest::Approx(0.1).epsilon(1e-4));
}

TEST_CASE("adam_step gives the same bits at any thread count") {
  const Rule rule{{.lr = 0.01}, 0.1};
  const Shape shape{(1 << 14) * 2 + 7};  // several chunks
  const int before = thread_count();
  std::vector<Tensors> runs;
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    runs.push_back(train(DType::f32, shape, rule, 2, 0.5));
  }
  set_thread_count(before);
  for (const Tensors& run : runs)
    for (size_t i = 0; i < run.size(); ++i) CHECK(to_array(run[i]).data == to_array(runs[0][i]).data);
}

TEST_CASE("adam_step takes empty and meta tensors") {
  const Tensor none = zeros({0, 3}, DType::f32), meta = empty({5}, DType::f32, Device::meta);
  adam_step({}, {.lr = 1}, 1, Tensor());
  adam_step({{none, none, none, none}}, {.lr = 1}, 1, scalar(1, none));
  adam_step({{meta, meta, meta, meta}}, {.lr = 1}, 1, scalar(1, meta));
}

TEST_CASE("adam_step names what does not fit") {
  const auto t = [](Shape s, DType dtype = DType::f32) { return zeros(s, dtype); };
  const auto error = [&](const Tensor& grad, const Tensor& m, const Tensor& v, int64_t step = 1) {
    return error_of([&] { adam_step({{t({2, 3}), grad, m, v}}, {.lr = 1}, step, t({}, DType::f64)); });
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
