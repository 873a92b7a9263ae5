#include "autograd/gradcheck.hpp"

#include "engine/random.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe {
namespace {

Tensors random_cotangents(const Vars& outputs, uint64_t seed) {
  Tensors cotangents;
  for (const Var& y : outputs) {
    cotangents.push_back(empty_like(y.value(), y.shape(), DType::f64));
    fill_uniform(cotangents.back(), -1, 1, seed, cotangents.size());
  }
  return cotangents;
}

double inner_product(const Vars& outputs, const Tensors& cotangents) {
  double sum = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto y = outputs[i].value().span<double>(), c = cotangents[i].span<double>();
    for (size_t j = 0; j < y.size(); ++j) sum += y[j] * c[j];
  }
  return sum;
}

/// d f / d x by the five-point stencil.
double derivative(const std::function<double()>& f, double& x, double h) {
  const double centre = x;
  const auto at = [&](double offset) {
    x = centre + offset;
    return f();
  };
  const double slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  x = centre;
  return slope;
}

}  // namespace

GradcheckResult gradcheck(const std::function<Vars()>& f, const Vars& inputs, GradcheckOptions options) {
  for (Var x : inputs) x.zero_grad();
  const Vars outputs = f();
  const Tensors cotangents = random_cotangents(outputs, options.seed);
  backward(outputs, cotangents);

  const NoGrad guard;
  const auto objective = [&] { return inner_product(f(), cotangents); };
  GradcheckResult worst;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto x = inputs[i].value().span<double>();
    const Tensor grad = inputs[i].grad() ? inputs[i].grad() : zeros(inputs[i].shape(), DType::f64);
    const auto analytic = grad.span<double>();
    double scale = 1e-3;
    for (double g : analytic) scale = std::max(scale, std::fabs(g));
    const size_t n = x.size();
    const size_t tried = options.most < 0 ? n : std::min<size_t>(n, options.most);
    for (size_t t = 0; t < tried; ++t) {
      const size_t j = t * n / tried;
      const double numeric = derivative(objective, x[j], options.step);
      const double error = std::fabs(analytic[j] - numeric) / scale;
      if (error <= worst.error) continue;
      worst = {error,
               concat("input ", i, ", element ", j, ": analytic ", analytic[j], ", numeric ", numeric)};
    }
  }
  return worst;
}

}  // namespace rmoe
