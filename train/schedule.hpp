// The learning rate at a step: linear warm-up, then constant or a half cosine down to min_lr.
#pragma once

#include "train/config.hpp"

namespace rmoe {

/// For the update number `step`, counted from 1, of `steps` in all. Update `warmup` is the first at the full
/// rate; the cosine reaches min_lr at the last update.
double learning_rate(const OptimizerConfig& optimizer, int64_t step, int64_t steps);

}  // namespace rmoe
