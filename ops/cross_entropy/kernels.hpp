#pragma once

#include "engine/kernel.hpp"

namespace rmoe {

constexpr int32_t kNotCounted = -1;  // the target of a row that no loss is taken of

// The columns of a logit matrix may come in blocks, one after another: x [N,V] holds columns [first, first +
// V).

/// Takes a block into the running log-sum-exp of its rows, which the block with first = 0 starts, and notes
/// the logits of the targets that lie in it.
KERNEL(cross_entropy_fold, double* lse, double* target_logit, const T* x, const int32_t* targets,
       int64_t first, int64_t N, int64_t V);
/// The mean over the counted of N rows of all V columns, once every block is folded in, and their number.
KERNEL(cross_entropy_mean, acc_t<T>* loss, double* counted, const double* lse, const double* target_logit,
       const int32_t* targets, int64_t N, int64_t V);
/// dx = beta * dx + gradient, with beta 0 or 1, for a mean over `counted` rows; dloss points at one value.
/// With beta = 0 dx may be x.
KERNEL(cross_entropy_bwd, T* dx, const acc_t<T>* dloss, const T* x, const int32_t* targets, const double* lse,
       const double* counted, int64_t first, int64_t N, int64_t V, double beta);

}  // namespace rmoe
