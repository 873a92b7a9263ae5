// Gradients against finite differences, in double, under a RANDOM cotangent c: d<c, f(x)>/dx element by
// element. (The sum of the outputs would prove nothing for softmax, whose outputs sum to one whatever the
// gradient is.)
#pragma once

#include "autograd/tape.hpp"

#include <functional>
#include <string>

namespace rmoe {

struct GradcheckResult {
  double error = 0;   // worst |analytic - numeric| / max(largest |gradient| of that input, 1e-3)
  std::string where;  // "input 2, element 17: analytic 0.25, numeric -0.25"
};

struct GradcheckOptions {
  double step = 1e-4;  // x +- h, x +- 2h: five-point stencil, error O(h^4)
  uint64_t seed = 1;   // of the cotangent
  int64_t most = -1;   // elements tried per input, spread evenly; -1: all
};

/// `f` is called many times with the values of `inputs` (f64, leaves) changed in place and put back.
GradcheckResult gradcheck(const std::function<Vars()>& f, const Vars& inputs, GradcheckOptions options = {});

}  // namespace rmoe
