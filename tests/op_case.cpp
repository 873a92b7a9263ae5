#include "tests/op_case.hpp"

#include "engine/cuda/backend.hpp"
#include "engine/gemm.hpp"
#include "engine/parallel.hpp"
#include "engine/random.hpp"
#include "ops/cast/cast.hpp"

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

/// How an op is run.
struct Setting {
  DType dtype;
  Device device = Device::cpu;
  bool twice = false;  // the backward, without zeroing in between
};

bool names(const std::vector<int>& positions, size_t i) {
  return std::find(positions.begin(), positions.end(), int(i)) != positions.end();
}

/// What an input is stored in.
DType dtype_of_input(const OpCase& c, size_t i, DType dtype) {
  return dtype == DType::bf16 && names(c.in_fp32, i) ? DType::f32 : dtype;
}

/// What gradients are asked of; the op reads them through as_operands().
Vars make_leaves(const OpCase& c, const Setting& s) {
  Vars leaves;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const DType dtype = dtype_of_input(c, i, s.dtype);
    const Tensor value = s.device == Device::meta ? empty(c.inputs[i].shape, dtype, s.device)
                                                  : to(to_tensor(c.inputs[i], dtype), s.device);
    const bool activation = dtype == DType::bf16 && !names(c.weights, i);
    if (names(c.constant, i))
      leaves.emplace_back(value);
    else
      leaves.push_back(Var::leaf(activation ? to(value, DType::f32) : value));
  }
  return leaves;
}

/// In bf16 the gradient of a parameter is fp32, that of any other value bf16: those values are casts of
/// leaves.
Vars as_operands(const OpCase& c, const Vars& leaves, DType dtype) {
  Vars operands;
  for (size_t i = 0; i < leaves.size(); ++i)
    operands.push_back(names(c.constant, i) ? leaves[i] : cast(leaves[i], dtype_of_input(c, i, dtype)));
  return operands;
}

Tensors cotangents(const Vars& outputs) {
  Tensors result;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& y = outputs[i].value();
    result.push_back(to(to_tensor(random(y.shape(), -1, 1, 77 + i), y.dtype()), y.device()));
  }
  return result;
}

Run run(const OpCase& c, const Setting& s) {
  const Vars leaves = make_leaves(c, s);
  Run result;
  for (int pass = 0; pass < (s.twice ? 2 : 1); ++pass) {
    const Vars outputs = c.op(as_operands(c, leaves, s.dtype));
    result.outputs.clear();
    for (const Var& y : outputs) result.outputs.push_back(y.value());
    const bool differentiable =
        std::any_of(outputs.begin(), outputs.end(), [](const Var& y) { return y.requires_grad(); });
    if (differentiable) backward(outputs, cotangents(outputs));
  }
  const Vars before = make_leaves(c, s);
  for (size_t i = 0; i < leaves.size(); ++i) {
    result.grads.push_back(leaves[i].grad());
    const bool unchanged = to_array(leaves[i].value()).data == to_array(before[i].value()).data;
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

bool same_bits(const Tensor& a, const Tensor& b) {
  if (!a || !b) return a.defined() == b.defined();
  const Tensor x = to(a, Device::cpu), y = to(b, Device::cpu);
  return x.numel() == 0 || std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

bool same_bits(const Tensors& a, const Tensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tensor& x, const Tensor& y) { return same_bits(x, y); });
}

Array times(Array a, double factor) {
  for (double& x : a.data) x *= factor;
  return a;
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
  const Vars inputs = make_leaves(c, {DType::f64});
  Vars leaves;
  for (const Var& x : inputs)
    if (x.requires_grad()) leaves.push_back(x);
  if (leaves.empty()) return;
  const GradcheckResult result =
      gradcheck([&] { return c.op(inputs); }, leaves, {.step = c.step, .most = kMostElements});
  CHECK_MESSAGE(result.error < kGradientTolerance, c.name, ": gradient off by ", result.error, " at ",
                result.where);
  const Run doubled = run(c, {DType::f64, Device::cpu, true});
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!in_double.grads[i]) continue;
    const Array grad = to_array(in_double.grads[i]);
    check_close(concat(c.name, ", float gradient ", i), to_array(in_float.grads[i]), grad,
                c.float_grad_tolerance);
    check_close(concat(c.name, ", added gradient ", i), to_array(doubled.grads[i]), times(grad, 2),
                kDoubleTolerance);
  }
}

void check_determinism(const OpCase& c, const Run& reference) {
  const int before = thread_count();
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    const Run again = run(c, {DType::f32});
    CHECK_MESSAGE(same_bits(again.outputs, reference.outputs), c.name, ": other bits with ", threads,
                  " threads");
    CHECK_MESSAGE(same_bits(again.grads, reference.grads), c.name, ": other gradient bits with ", threads,
                  " threads");
  }
  set_thread_count(before);
}

void check_meta(const OpCase& c, const Run& reference) {
  const Vars inputs = make_leaves(c, {DType::f32, Device::meta});
  const Vars outputs = c.op(inputs);
  REQUIRE(outputs.size() == reference.outputs.size());
  Tensors dys;
  for (size_t i = 0; i < outputs.size(); ++i) {
    CHECK_MESSAGE(outputs[i].shape() == reference.outputs[i].shape(), c.name, ": other shape on meta");
    dys.push_back(empty(outputs[i].shape(), outputs[i].value().dtype(), Device::meta));
  }
  const bool differentiable =
      std::any_of(outputs.begin(), outputs.end(), [](const Var& y) { return y.requires_grad(); });
  if (differentiable) backward(outputs, dys);
}

/// Rounds the inputs to what the kernels will be given.
OpCase rounded(OpCase c) {
  for (size_t i = 0; i < c.inputs.size(); ++i)
    c.inputs[i] = to_array(to_tensor(c.inputs[i], dtype_of_input(c, i, DType::bf16)));
  return c;
}

/// The same case on a GPU. `tolerance` is the value's, the other the gradients'.
void check_on_gpu(const OpCase& c, DType dtype, double tolerance, double grad_tolerance) {
  const Setting setting{dtype, Device::cuda};
  const Run wanted = run(c, {DType::f64}), got = run(c, setting), again = run(c, setting);
  const Run doubled = run(c, {dtype, Device::cuda, true});
  const Arrays reference = c.reference(c.inputs);
  const std::string name = concat(c.name, " (GPU, ", dtype, ")");
  REQUIRE_MESSAGE(got.outputs.size() == reference.size(), name, ": number of outputs");
  for (size_t i = 0; i < reference.size(); ++i)
    check_close(concat(name, ", output ", i), to_array(got.outputs[i]), reference[i], tolerance);
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    CHECK_MESSAGE(got.grads[i].defined() == wanted.grads[i].defined(), name, ": gradient ", i);
    if (!wanted.grads[i] || !got.grads[i]) continue;
    const Array grad = to_array(wanted.grads[i]);
    check_close(concat(name, ", gradient ", i), to_array(got.grads[i]), grad, grad_tolerance);
    check_close(concat(name, ", added gradient ", i), to_array(doubled.grads[i]), times(grad, 2),
                grad_tolerance);
  }
  CHECK_MESSAGE(same_bits(got.outputs, again.outputs), name, ": other bits on a second run");
  CHECK_MESSAGE(same_bits(got.grads, again.grads), name, ": other gradient bits on a second run");
}

void check_on_cpu(const OpCase& c) {
  const Run in_double = run(c, {DType::f64}), in_float = run(c, {DType::f32});
  check_values(c, in_double, in_float);
  check_gradients(c, in_double, in_float);
  check_determinism(c, in_float);
  if (c.on_meta) check_meta(c, in_float);
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
  const Tensor values = to(to(tensor, Device::cpu), DType::f64);
  std::copy_n(static_cast<const double*>(values.raw()), values.numel(), array.data.begin());
  return array;
}

void check_op(const OpCase& c) {
  INFO("op case: ", c.name);
  if (!cuda::available()) return check_on_cpu(c);
  check_on_gpu(c, DType::f32, c.float_tolerance, c.float_grad_tolerance);
  if (c.bf16) check_on_gpu(rounded(c), DType::bf16, c.bf16_tolerance, c.bf16_tolerance);
}

void check_keeps_products(Shape weight, const std::function<Var(const Var& x, const Var& w)>& product) {
  const float fine = 1 + 0x1p-10f;  // 1 in bf16
  Var x = Var::leaf(full({1, 1}, fine, DType::f32)), w = Var::leaf(full(weight, fine, DType::f32));
  for (bool bf16 : {true, false}) {
    const Bf16Products products(bf16);
    const Var y = product(x, w);
    const Bf16Products others(!bf16);
    x.zero_grad();
    w.zero_grad();
    backward({y}, {full({1, 1}, fine, DType::f32)});
    for (const Tensor& t : {y.value(), x.grad(), w.grad()})
      CHECK(t.item() == (bf16 ? 1 : double(fine * fine)));
  }
}

std::vector<std::vector<double>> values_and_gradients(const Vars& outputs, const Vars& leaves) {
  std::vector<std::vector<double>> numbers;
  Tensors dys;
  for (const Var& y : outputs) {
    numbers.push_back(to_array(y.value()).data);
    dys.push_back(to_tensor(random(y.shape(), -1, 1, 9), y.value().dtype()));
  }
  backward(outputs, dys);
  for (Var x : leaves) {
    numbers.push_back(to_array(x.grad()).data);
    x.zero_grad();
  }
  return numbers;
}

Tensor beside(const Var& x, const Tensor& integers) {
  return x.value().device() == Device::cuda ? to(integers, Device::cuda) : integers;
}

Tensor under_test(const Tensor& x) { return cuda::available() ? to(x, Device::cuda) : x; }

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
