#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y = x under another shape: element i of one is element i of the other, row-major
// x [...] -> y of the given shape, of equal size
// torch.Tensor.view.
// A view: y shares the storage of x. Backward keeps the shape alone and passes dy on as a view.
Var reshape(const Var& x, Shape shape);

}  // namespace rmoe
