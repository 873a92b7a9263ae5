#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// loss = 1/M sum_{n: target_n >= 0} (lse_n - x_{n, target_n}) in nats,  lse_n = log sum_v exp x_nv
// logits x [N, V], targets i32 [N] -> loss []; M rows count: a target of -1 leaves its row out, one outside
// [-1, V) is an error (on a GPU it ends the kernel), and so is N = 0. torch.nn.CrossEntropyLoss's convention,
// reduction "mean", ignore_index -1; but without a counted row (M = 0) the loss and its gradient are 0.
// Backward keeps logits, targets and lse [N] in double; rows are added up in double.
Var cross_entropy(const Var& logits, const Tensor& targets);

/// How many targets are not -1. For targets on the CPU: a count of those on a GPU would wait for it.
int64_t count_targets(const Tensor& targets);

}  // namespace rmoe
