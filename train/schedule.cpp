#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rmoe {

double learning_rate(const OptimizerConfig& optimizer, int64_t step, int64_t steps) {
  const double lr = optimizer.lr, min_lr = optimizer.min_lr;
  if (step < optimizer.warmup) return lr * double(step) / double(optimizer.warmup);
  if (optimizer.schedule == "constant" || step <= optimizer.warmup) return lr;
  const double progress = double(step - optimizer.warmup) / double(std::max(step, steps) - optimizer.warmup);
  return min_lr + (lr - min_lr) * (1 + std::cos(std::numbers::pi * progress)) / 2;
}

}  // namespace rmoe
