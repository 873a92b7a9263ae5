// The small modules: linear and the two norms. A module is a plain struct of parameters; calling it is the
// forward pass. A norm behind a residual connection adds as well: of_sum, with_sum.
#pragma once

#include "models/scope.hpp"
#include "ops/layer_norm/layer_norm.hpp"
#include "ops/linear/linear.hpp"
#include "ops/rms_norm/rms_norm.hpp"

namespace rmoe {

struct Linear {
  Var weight;  // [F,C]
  Var bias;    // [F] or undefined

  explicit Linear(Var shared_weight) : weight(std::move(shared_weight)) {}
  Linear(const Scope& scope, int64_t C, int64_t F, bool with_bias, Init init)
      : weight(scope.parameter("weight", {F, C}, init)),
        bias(with_bias ? scope.parameter("bias", {F}, Init::fan_in(C)) : Var()) {}
  Var operator()(const Var& x) const { return linear(x, weight, bias); }  // [..,C] -> [..,F]
};

struct LayerNorm {
  Var weight, bias;  // [C]
  double eps;

  LayerNorm(const Scope& scope, int64_t C, double eps)
      : weight(scope.parameter("weight", {C}, Init::constant(1))),
        bias(scope.parameter("bias", {C}, Init::constant(0))),
        eps(eps) {}
  /// The norm of h + f, which nothing else reads.
  Var of_sum(const Var& h, const Var& f) const { return add_layer_norm(h, f, weight, bias, eps); }
};

struct RmsNorm {
  Var weight;  // [C]
  double eps;

  RmsNorm(const Scope& scope, int64_t C, double eps)
      : weight(scope.parameter("weight", {C}, Init::constant(1))), eps(eps) {}
  Var operator()(const Var& x) const { return rms_norm(x, weight, eps); }
  /// h + f, and its norm.
  SumAndNorm with_sum(const Var& h, const Var& f) const { return add_rms_norm(h, f, weight, eps); }
};

}  // namespace rmoe
