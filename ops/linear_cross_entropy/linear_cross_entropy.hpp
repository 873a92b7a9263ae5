#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// loss = cross_entropy(linear(x, weight, bias), targets), without ever holding all N x V logits
// x [N,C], weight [V,C], bias [V] or undefined, targets i32 [N] -> loss [], mean nats over
// the rows whose target is not -1
// The composition is the definition; the blocks are ours.
// Logits come in blocks of at most `most_logits` (64 MiB of floats). If one block is enough, backward keeps
// it; if not, it keeps lse [N] in double and computes each block again. Gradients of x and weight add up over
// the blocks, in their order.
Var linear_cross_entropy(const Var& x, const Var& weight, const Var& bias, const Tensor& targets,
                         int64_t most_logits = int64_t{1} << 24);

}  // namespace rmoe
