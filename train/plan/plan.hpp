// What training a config on GPUs would take: memory, FLOPs and time, predicted without a GPU (README.md).
#pragma once

#include "train/plan/budget.hpp"
#include "train/plan/memory.hpp"

namespace rmoe::plan {

struct OpTime {
  Op op;
  Columns seconds;  // of all its runs in a micro-batch
};

struct Plan {
  Layout layout;
  Sizes sizes;
  std::vector<MemoryItem> memory;
  int64_t largest_micro_batch = 0;
  std::vector<OpTime> ops;  // of one full micro-batch
  int64_t micro_steps = 0;  // per GPU and step; the last may be smaller

  Columns micro_batch_s, compute_s, communication_s, optimizer_s, step_s;

  double tokens_per_step() const { return double(sizes.batch * sizes.T); }
  double flops_per_step() const { return sizes.flops_per_token * tokens_per_step(); }
  bool fits() const { return total_of(memory) <= layout.gpu->memory_bytes; }
  /// Share of the GPUs' peak that the model's products make up in a step of so many seconds.
  double mfu(double step_s) const;
};

/// A micro-batch of 0 takes train.batch / gpus / train.micro_batches. A layout that cannot be is a
/// UsageError.
Plan make_plan(const Config& config, Layout layout);

}  // namespace rmoe::plan
