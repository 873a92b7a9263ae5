// What training reserves is what it takes: to the byte, and in time.
#include "engine/cuda/backend.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/memory.hpp"
#include "engine/rehearsal.hpp"
#include "tests/no_debugging.hpp"
#include "tests/tiny_models.hpp"
#include "tests/toy_run.hpp"
#include "train/step.hpp"
#include "train/step_memory.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Config tiny_config(const std::string& name) {
  Config config = tiny_training(tiny_case(name));
  config.train.micro_batches = 1;
  config.train.analyze_every = 0;
  config.optimizer.clip = 1;
  return config;
}

/// Times the driver is asked by a step of rank 0 after `bytes` were reserved. What collectives would bring
/// from other ranks is not there.
int64_t calls_with(int64_t bytes, const Config& config, int ranks) {
  memory::give_back_unused();
  memory::reserve_on_gpu(bytes);
  const int64_t calls = memory::stats(Device::cuda).system_calls;
  Ranks all(0, ranks, Device::cuda, 1);
  const std::vector<int32_t> text(300, 3);
  const int64_t B = config.train.batch, T = config.train.block;
  TrainState state(config, std::make_unique<BatchStream>(text, B, T, 1), Device::cuda, all);
  train_step(state, config);
  return memory::stats(Device::cuda).system_calls - calls;
}

/// What is planned is enough.
void check_enough(const Config& config, int ranks = 1) {
  const StepMemory planned = rehearse_step(config, 0, ranks);
  CHECK(planned.state < planned.peak);
  CHECK(calls_with(planned.peak, config, ranks) == 0);
}

/// A GPU with so much left.
struct SmallGpu {
  explicit SmallGpu(int64_t left) : before(emulator::options().memory_mb) {
    memory::give_back_unused();
    const auto [free, all] = cuda::device_space();
    emulator::options().memory_mb = (all - free + left) >> 20;
  }
  ~SmallGpu() { emulator::options().memory_mb = before; }
  int64_t before;
};

/// What reserving for it says; "" if it fits.
std::string complaint(const Config& config, int64_t left, int ranks = 1) {
  const SmallGpu gpu(left);
  Ranks all(0, ranks, Device::cuda, 1);
  try {
    reserve_for_training(config, all);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("step memory: every kind of model takes what was planned, and not a piece less") {
  const NoDebugging guard;
  for (const std::string name : {"lm-smoe", "lm-xmoe", "llama-dense", "llama-hyper", "llama-smoe+tied"}) {
    CAPTURE(name);
    check_enough(tiny_config(name));
  }
  for (const std::string name : {"lm-rmoe", "llama-rmoe"}) {
    CAPTURE(name);
    const Config config = tiny_config(name);
    const int64_t peak = rehearse_step(config).peak;
    CHECK(calls_with(peak, config, 1) == 0);
    CHECK(calls_with(peak - 256, config, 1) > 0);
  }
}

TEST_CASE("step memory: micro-batches, recomputation, bf16 and ranks are planned") {
  const NoDebugging guard;
  const auto check = [](const std::string& name, int ranks, auto change) {
    CAPTURE(name);
    Config config = tiny_config(name);
    change(config);
    check_enough(config, ranks);
  };
  for (const std::string name : {"lm-rmoe", "llama-rmoe"}) {
    check(name, 1, [](Config& c) {
      c.train.micro_batches = 3;
      c.model.recompute = true;
    });
    check(name, 2, [](Config& c) {
      c.train.micro_batches = 2;
      c.train.precision = "bf16";
      c.optimizer.shard = true;
    });
  }
  check("llama-rmoe+everything", 1, [](Config& c) { c.model.recompute_experts = true; });
  check("lm-smoe", 1, [](Config& c) { c.model.dropout = 0.2; });
}

TEST_CASE("step memory: nothing of a rehearsal is enqueued, and what it counts is not in use") {
  const NoDebugging guard;
  cuda::synchronize();
  emulator::reset_counters();
  const memory::Stats before = memory::stats(Device::cuda);
  rehearse_step(tiny_config("lm-rmoe"));
  CHECK_FALSE(rehearsing());
  CHECK(emulator::counters().launches == 0);
  CHECK(emulator::counters().host_synchronizations == 0);
  CHECK(emulator::counters().allocations == 0);
  CHECK(memory::stats(Device::cuda).in_use == before.in_use);
  CHECK(memory::stats(Device::cuda).peak == before.peak);
}

TEST_CASE("step memory: a GPU that is too small is told before training, with what would fit") {
  constexpr int64_t kMiB = 1 << 20, kForDriver = 256 * kMiB;
  Config config = tiny_config("llama-rmoe");
  config.model.hidden = 48;
  config.train.batch = 16;
  config.train.block = 512;
  const auto peak = [](Config c, int64_t parts) {
    c.train.micro_batches = parts;
    return rehearse_step(c).peak;
  };
  CHECK(complaint(config, peak(config, 1) + kForDriver + kMiB) == "");
  const std::string four = complaint(config, peak(config, 4) + kForDriver + kMiB);
  CHECK(has(four, "train: a step wants "));
  CHECK(has(four, "train.micro_batches=4 needs "));
  config.train.micro_batches = 2;
  const std::string shared = complaint(config, peak(config, 8) + kForDriver + kMiB, 2);
  CHECK(has(shared, "train: rank 0: a step wants "));
  CHECK(has(shared, "; optimizer.shard=true"));
  CHECK(has(complaint(config, kForDriver + kMiB), "no train.micro_batches with model.recompute=true fits"));
  memory::give_back_unused();
}

TEST_CASE("step memory: `rmoe train` on a small GPU ends with one line and no run") {
  const TestFolder folder;
  make_toy(folder);
  setenv("RMOE_EMULATOR_MEMORY_MB", "289", 1);  // of which the workspace has 32 and the driver gets 256
  const ProcessResult result =
      rmoe(folder.path(), train_toy("small", {"--device", "cuda", "--set", "model.layers=8"}));
  unsetenv("RMOE_EMULATOR_MEMORY_MB");
  CAPTURE(result.err);
  CHECK(result.code == 1);
  CHECK(has(result.err, "rmoe: train: a step wants 0."));
  CHECK(has(result.err, " GB are free"));
  CHECK(std::ranges::count(result.err, '\n') == 1);
  CHECK_FALSE(std::filesystem::exists(folder / "small" / "metrics.jsonl"));
}

}  // namespace rmoe::test
