#include "tests/op_case.hpp"

#include "engine/parallel.hpp"
#include "engine/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

constexpr double kDoubleTolerance = 1e-12, kGradientTolerance = 1e-7;
constexpr int64_t kMostElements = 200;  // finite differences per input; larger inputs are sampled evenly

struct Run {
  Tensors outputs, grads;
};

bool is_constant(const OpCase& c, size_t i) {
  return std::find(c.constant.begin(), c.constant.end(), int(i)) != c.constant.end();
}

Vars make_inputs(const OpCase& c, DType dtype, Device device = Device::cpu) {
  Vars inputs;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const Tensor value =
        device == Device::meta ? empty(c.inputs[i].shape, dtype, device) : to_tensor(c.inputs[i], dtype);
    inputs.push_back(is_constant(c, i) ? Var(value) : Var::leaf(value));
  }
  return inputs;
}

Tensors cotangents(const Vars& outputs) {
  Tensors result;
  for (size_t i = 0; i < outputs.size(); ++i)
    result.push_back(
        to_tensor(random(outputs[i].shape(), -1, 1, 77 + i), acc_type(outputs[i].value().dtype())));
  return result;
}

/// Value and gradients; with `twice`, the backward runs two times without zeroing in between.
Run run(const OpCase& c, DType dtype, bool twice = false) {
  const Vars inputs = make_inputs(c, dtype);
  Run result;
  for (int pass = 0; pass < (twice ? 2 : 1); ++pass) {
    const Vars outputs = c.op(inputs);
    result.outputs.clear();
    for (const Var& y : outputs) result.outputs.push_back(y.value());
    const bool differentiable =
        std::any_of(outputs.begin(), outputs.end(), [](const Var& y) { return y.requires_grad(); });
    if (differentiable) backward(outputs, cotangents(outputs));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    result.grads.push_back(inputs[i].grad());
    const bool unchanged = to_array(inputs[i].value()).data == to_array(to_tensor(c.inputs[i], dtype)).data;
    CHECK_MESSAGE(unchanged, c.name, ": input ", i, " was overwritten");
  }
  return result;
}

double largest(const Array& a) {
  double most = 0;
  for (double x : a.data) most = std::max(most, std::fabs(x));
  return most;
}

void check_close(const std::string& what, const Array& got, const Array& wanted, double tolerance) {
  REQUIRE_MESSAGE(got.shape == wanted.shape, what, ": shape ", concat(got.shape), ", wanted ",
                  concat(wanted.shape));
  const double scale = std::max(largest(wanted), 1e-3);
  for (size_t i = 0; i < got.data.size(); ++i) {
    const double error = std::fabs(got.data[i] - wanted.data[i]) / scale;
    if (error <= tolerance) continue;  // false for NaN
    FAIL_CHECK(what, ": element ", i, " of ", concat(got.shape), " is ", got.data[i], ", wanted ",
               wanted.data[i]);
    return;
  }
}

bool same_bits(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].defined() != b[i].defined()) return false;
    if (a[i] && a[i].numel() && std::memcmp(a[i].raw(), b[i].raw(), a[i].bytes()) != 0) return false;
  }
  return true;
}

void check_values(const OpCase& c, const Run& in_double, const Run& in_float) {
  const Arrays wanted = c.reference(c.inputs);
  REQUIRE_MESSAGE(in_double.outputs.size() == wanted.size(), c.name, ": number of outputs");
  for (size_t i = 0; i < wanted.size(); ++i) {
    const std::string output = concat(c.name, ", output ", i);
    check_close(output + " (double)", to_array(in_double.outputs[i]), wanted[i], kDoubleTolerance);
    check_close(output + " (float)", to_array(in_float.outputs[i]), wanted[i], c.float_tolerance);
  }
}

void check_gradients(const OpCase& c, const Run& in_double, const Run& in_float) {
  const Vars inputs = make_inputs(c, DType::f64);
  Vars leaves;
  for (const Var& x : inputs)
    if (x.requires_grad()) leaves.push_back(x);
  if (leaves.empty()) return;
  const GradcheckResult result =
      gradcheck([&] { return c.op(inputs); }, leaves, {.step = c.step, .most = kMostElements});
  CHECK_MESSAGE(result.error < kGradientTolerance, c.name, ": gradient off by ", result.error, " at ",
                result.where);
  const Run doubled = run(c, DType::f64, true);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!in_double.grads[i]) continue;
    const Array grad = to_array(in_double.grads[i]);
    check_close(concat(c.name, ", float gradient ", i), to_array(in_float.grads[i]), grad,
                c.float_grad_tolerance);
    Array twice = grad;
    for (double& g : twice.data) g *= 2;
    check_close(concat(c.name, ", added gradient ", i), to_array(doubled.grads[i]), twice, kDoubleTolerance);
  }
}

void check_determinism(const OpCase& c, const Run& reference) {
  const int before = thread_count();
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    const Run again = run(c, DType::f32);
    CHECK_MESSAGE(same_bits(again.outputs, reference.outputs), c.name, ": other bits with ", threads,
                  " threads");
    CHECK_MESSAGE(same_bits(again.grads, reference.grads), c.name, ": other gradient bits with ", threads,
                  " threads");
  }
  set_thread_count(before);
}

void check_meta(const OpCase& c, const Run& reference) {
  const Vars inputs = make_inputs(c, DType::f32, Device::meta);
  const Vars outputs = c.op(inputs);
  REQUIRE(outputs.size() == reference.outputs.size());
  Tensors dys;
  for (size_t i = 0; i < outputs.size(); ++i) {
    CHECK_MESSAGE(outputs[i].shape() == reference.outputs[i].shape(), c.name, ": other shape on meta");
    dys.push_back(empty(outputs[i].shape(), DType::f32, Device::meta));
  }
  const bool differentiable =
      std::any_of(outputs.begin(), outputs.end(), [](const Var& y) { return y.requires_grad(); });
  if (differentiable) backward(outputs, dys);
}

}  // namespace

Array random(Shape shape, double low, double high, uint64_t seed) {
  const Tensor t(shape, DType::f32);
  fill_uniform(t, low, high, seed, hash("test") + shape.numel());
  return to_array(t);
}

Tensor to_tensor(const Array& array, DType dtype) { return to(from_vector(array.data, array.shape), dtype); }

Array to_array(const Tensor& tensor) {
  Array array(tensor.shape());
  const Tensor values = to(tensor, DType::f64);
  std::copy_n(static_cast<const double*>(values.raw()), values.numel(), array.data.begin());
  return array;
}

void check_op(const OpCase& c) {
  INFO("op case: ", c.name);
  const Run in_double = run(c, DType::f64), in_float = run(c, DType::f32);
  check_values(c, in_double, in_float);
  check_gradients(c, in_double, in_float);
  check_determinism(c, in_float);
  if (c.on_meta) check_meta(c, in_float);
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  FAIL_CHECK("no error was thrown");
  return "";
}

}  // namespace rmoe::test
