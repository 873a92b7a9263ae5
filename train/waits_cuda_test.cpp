// What a training step asks of the host while the GPU works.
#include "engine/cuda/backend.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/memory.hpp"
#include "tests/no_debugging.hpp"
#include "tests/tiny_models.hpp"
#include "train/step.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

/// Times the host waits for the device in the fourth step.
uint64_t waits(const std::string& name, int64_t layers, int64_t micro_batches) {
  const TinyCase c = tiny_case(name);
  Config config;
  config.model = c.model;
  config.model.layers = layers;
  config.router = c.router;
  config.router.balance_weight = 0.5;
  config.train.batch = 4;
  config.train.block = 6;
  config.train.micro_batches = micro_batches;
  config.optimizer.clip = 1;
  const std::vector<int32_t> text(300, 3);
  TrainState state(config, std::make_unique<BatchStream>(text, 4, 6, 1), Device::cuda);
  for (int i = 0; i < 3; ++i) train_step(state, config);
  emulator::reset_counters();
  train_step(state, config);
  return emulator::counters().host_synchronizations;
}

/// Counters of forward and backward of one micro-batch, the third of its kind, when the host is done.
emulator::Counters passes(const TinyCase& c, DType dtype) {
  const Model model(c.model, c.router, 3, dtype, Device::cuda);
  const Memory memory = model.initial_memory(2);
  const Batch batch = tiny_batch(c.model);
  for (int i = 0; i < 3; ++i) {
    emulator::reset_counters();
    const Context context{.training = true, .limit_experts = true, .seed = 4, .step = i};
    backward(losses(model(batch.inputs, memory, context), batch.targets, c.router).total);
  }
  const emulator::Counters seen = emulator::counters();
  cuda::synchronize();
  CHECK(emulator::counters().launches > 50);
  return seen;
}

}  // namespace

TEST_CASE("GPU: forward and backward neither wait for the device nor ask the driver for memory") {
  const NoDebugging guard;
  for (const char* name : {"llama-dense", "lm-smoe", "lm-smoe-mlp", "lm-random", "lm-hyper", "lm-cosine",
                           "lm-xmoe", "lm-rmoe", "llama-smoe", "llama-rmoe", "llama-rmoe+everything"}) {
    CAPTURE(name);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const emulator::Counters seen = passes(tiny_case(name), dtype);
      CHECK(seen.host_synchronizations == 0);
      CHECK(seen.allocations == 0);
    }
  }
}

TEST_CASE("GPU: the host waits as often in a long step as in a short one, and only behind the passes") {
  const NoDebugging guard;
  for (const char* name : {"lm-rmoe", "llama-rmoe", "llama-smoe"}) {
    CAPTURE(name);
    const uint64_t little = waits(name, 2, 1), much = waits(name, 4, 4);
    CHECK(little == much);
    CHECK(little <= 6);
  }
}

}  // namespace rmoe::test
