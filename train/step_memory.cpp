#include "train/step_memory.hpp"

#include "engine/cuda/backend.hpp"
#include "engine/flops.hpp"
#include "engine/memory.hpp"
#include "engine/rehearsal.hpp"
#include "train/step.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

// Kernels that the driver loads when they are first launched, and what NCCL takes then: assumed.
constexpr int64_t kForDriver = int64_t{256} << 20;

/// Targets that all count: the widest micro-batches.
Batch blank_batch(const TrainConfig& train) {
  const Batch batch = empty_batch(train.batch, train.block, false);
  fill(batch.inputs, 0);
  fill(batch.targets, 0);
  return batch;
}

struct Cure {
  std::string settings;
  Config config;
};

/// What the same training would need less memory with, the cheapest first.
std::vector<Cure> cures_for(const Config& config, int ranks) {
  std::vector<Cure> cures;
  Config c = config;
  if (ranks > 1 && !c.optimizer.shard) {
    c.optimizer.shard = true;
    cures.push_back({"optimizer.shard=true", c});
  }
  const std::string so_far = cures.empty() ? "" : cures[0].settings + " and ";
  const auto cut_further = [&](const std::string& before) {
    Config cut = c;
    while ((cut.train.micro_batches *= 2) <= c.train.batch)
      cures.push_back({concat(before, "train.micro_batches=", cut.train.micro_batches), cut});
  };
  cut_further(so_far);
  if (c.model.recompute) return cures;
  c.model.recompute = true;
  cures.push_back({so_far + "model.recompute=true", c});
  cut_further(so_far + "model.recompute=true and ");
  return cures;
}

std::string gigabytes(int64_t bytes) { return fmt::format("{:.2f} GB", double(bytes) / 1e9); }

std::string advice(const Config& config, const Ranks& ranks, int64_t most) {
  for (const Cure& cure : cures_for(config, ranks.size())) {
    const int64_t peak = rehearse_step(cure.config, ranks.rank(), ranks.size()).peak;
    if (peak <= most) return concat(cure.settings, " needs ", gigabytes(peak));
  }
  return "no train.micro_batches with model.recompute=true fits; use more GPUs with optimizer.shard=true, or "
         "a "
         "smaller model";
}

}  // namespace

StepMemory rehearse_step(const Config& config, int rank, int size) {
  Config steps = config;
  steps.train.analyze_every = 0;  // looks at values
  const UncountedFlops uncounted;
  const Rehearsal rehearsal;
  Ranks ranks(rank, size, Device::cuda, steps.train.expert_parallel);
  TrainState state(steps, nullptr, Device::cuda, ranks);
  const int64_t kept = rehearsal.top();
  train_step(state, steps, blank_batch(steps.train));
  return {.state = kept, .peak = rehearsal.high_water()};
}

void reserve_for_training(const Config& config, const Ranks& ranks) {
  memory::give_back_unused();
  const StepMemory wanted = rehearse_step(config, ranks.rank(), ranks.size());
  const auto [left, all] = cuda::device_space();
  const int64_t most = left - kForDriver;
  if (wanted.peak > most)
    fail("train: ", ranks.size() > 1 ? concat("rank ", ranks.rank(), ": ") : "", "a step wants ",
         gigabytes(wanted.peak), " of the GPU's memory, ", gigabytes(wanted.state),
         " of them for parameters, gradients and optimizer; ", gigabytes(left), " of ", gigabytes(all),
         " are free and ", gigabytes(kForDriver), " stay so for the driver; ", advice(config, ranks, most));
  memory::reserve_on_gpu(wanted.peak);
}

}  // namespace rmoe
