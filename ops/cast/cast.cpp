#include "ops/cast/cast.hpp"

namespace rmoe {

Var cast(const Var& x, DType dtype) {
  const DType from = x.value().dtype();
  if (from == dtype) return x;
  return record("cast", to(x.value(), dtype), {x},
                [=](const Tensor& dy, Grads& d) { d.give(0, to(dy, from)); });
}

}  // namespace rmoe
