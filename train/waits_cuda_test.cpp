// What a training step asks of the host while the GPU works.
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/memory.hpp"
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

}  // namespace

TEST_CASE("GPU: the host waits as often in a long step as in a short one, and only behind the passes") {
  memory::set_debug(false);  // which waits before it gives a block back
  for (const char* name : {"lm-rmoe", "llama-rmoe", "llama-smoe"}) {
    CAPTURE(name);
    const uint64_t little = waits(name, 2, 1), much = waits(name, 4, 4);
    CHECK(little == much);
    CHECK(little <= 6);
  }
  memory::set_debug(true);
}

}  // namespace rmoe::test
