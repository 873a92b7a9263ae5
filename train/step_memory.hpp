// What training takes of a GPU's memory, known and reserved before the first tensor is made: parameters,
// masters, gradients, moments, the streams' memory, and whatever lives while a step runs, in all of its
// micro-batches, kernels' work buffers and the holes between pieces included. It is not a formula: a step of
// this config is gone through on the host, by the same code, with nothing behind its tensors
// (engine/rehearsal.hpp). `rmoe plan` estimates the same for GPUs that are not there.
#pragma once

#include "train/config.hpp"
#include "train/ranks.hpp"

namespace rmoe {

struct StepMemory {
  int64_t state = 0;  // what stays from step to step
  int64_t peak = 0;   // of a step: what one block must hold
};

/// On one rank of `size`. Experts that are spread over ranks are taken to be loaded alike: what a rank gets
/// beyond that comes from further blocks.
StepMemory rehearse_step(const Config& config, int rank = 0, int size = 1);

/// Takes it as one block. If the device has less left, an Error that names settings with which it fits.
void reserve_for_training(const Config& config, const Ranks& ranks);

}  // namespace rmoe
