#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rmoe {

double learning_rate(const OptimizerConfig& optimizer, int64_t step, int64_t steps) {
  const double lr = optimizer.lr, min_lr = optimizer.min_lr, ratio = optimizer.warmup_ratio;
  const int64_t warmup = ratio > 0 ? int64_t(std::ceil(ratio * double(steps))) : optimizer.warmup;
  if (step < warmup) return lr * double(step) / double(warmup);
  if (optimizer.schedule == "constant" || step <= warmup) return lr;
  const double progress = double(step - warmup) / double(std::max(step, steps) - warmup);
  return min_lr + (lr - min_lr) * (1 + std::cos(std::numbers::pi * progress)) / 2;
}

}  // namespace rmoe
