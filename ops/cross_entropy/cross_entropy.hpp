#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// loss = 1/N sum_n (lse_n - x_{n, target_n}) in nats,  lse_n = log sum_v exp x_nv
// logits x [N, V], targets i32 [N] -> loss []; a target outside [0, V) and N = 0 are errors
// torch.nn.CrossEntropyLoss's convention, reduction "mean".
// Backward keeps logits, targets and lse [N] in double; rows are added up in double.
Var cross_entropy(const Var& logits, const Tensor& targets);

}  // namespace rmoe
