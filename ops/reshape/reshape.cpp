#include "ops/reshape/reshape.hpp"

namespace rmoe {

Var reshape(const Var& x, Shape shape) {
  return record("reshape", x.value().reshape(shape), {x},
                [before = x.shape()](const Tensor& dy, Grads& d) { d.give(0, dy.reshape(before)); });
}

}  // namespace rmoe
