// Ready for CUDA graphs: two steps enqueue the same kernels, products and copies, with the same grids, shared
// memory and addresses of device memory. What differs is written down here, and in engine/cuda/README.md.
#include "engine/cuda/backend.hpp"
#include "engine/cuda_emulator/recording.hpp"
#include "engine/memory.hpp"
#include "tests/no_debugging.hpp"
#include "tests/tiny_models.hpp"
#include "train/step.hpp"
#include "train/step_memory.hpp"

#include <doctest/doctest.h>
#include <map>
#include <set>

namespace rmoe::test {
namespace {

using emulator::Enqueued;

Config config_of(const std::string& name, const std::string& precision, int64_t micro_batches) {
  Config config = tiny_training(tiny_case(name));
  if (config.model.kind == "lm") config.model.dropout = 0.1;
  if (precision == "bf16") config.model.hidden = 24, config.model.expert_hidden = 16;  // experts are fused
  config.train.micro_batches = micro_batches;
  config.train.precision = precision;
  config.train.analyze_every = 0;
  config.optimizer.name = "adamw";
  config.optimizer.weight_decay = 0.1;
  config.optimizer.clip = 1;
  config.optimizer.warmup = 100;
  return config;
}

std::vector<Enqueued> record_step(TrainState& state, const Config& config) {
  emulator::start_recording();
  train_step(state, config);
  return emulator::stop_recording();
}

/// By what a launch may differ from the same one a step later.
const std::map<std::string, std::string> kByDesign{
    {"rmoe::cuda::adam_step<", "learning rate, weight decay and corrections of the moments"},
    {"rmoe::cuda::dropout_into<", "the stream of random numbers"},
    {"::draw_mask(", "the stream of random numbers"},
    {"::relu_fwd_kernel<", "the stream of random numbers"},
};

/// The key of kByDesign that this is; "" if it is none.
std::string designed(const std::string& what) {
  for (const auto& [part, why] : kByDesign)
    if (what.find(part) != what.npos) return part;
  return "";
}

/// Checks that the steps are alike; returns which designed differences there are.
std::set<std::string> differences(const std::vector<Enqueued>& one, const std::vector<Enqueued>& other) {
  std::set<std::string> found;
  REQUIRE(one.size() == other.size());
  for (size_t i = 0; i < one.size(); ++i) {
    const Enqueued &a = one[i], &b = other[i];
    CAPTURE(i);
    CAPTURE(a.what);
    REQUIRE(a.what == b.what);
    REQUIRE(a.shape == b.shape);
    REQUIRE(a.words.size() == b.words.size());
    for (size_t w = 0; w < a.words.size(); ++w) {
      // Words that are equal, or whose lower halves are: behind the last four bytes of a structure there is
      // padding, which holds whatever was there before.
      if (uint32_t(a.words[w]) == uint32_t(b.words[w])) continue;
      CAPTURE(w);
      CHECK_FALSE(emulator::is_device_address(a.words[w]));
      CHECK_FALSE(emulator::is_device_address(b.words[w]));
      CHECK_FALSE(designed(a.what).empty());
      found.insert(designed(a.what));
    }
  }
  return found;
}

std::set<std::string> differences(const Config& config) {
  memory::give_back_unused();
  reserve_for_training(config, alone());
  std::vector<int32_t> text(2000);
  for (size_t i = 0; i < text.size(); ++i) text[i] = int32_t(i * i % 11);
  TrainState state(config, std::make_unique<BatchStream>(text, 4, 6, 1), Device::cuda);
  train_step(state, config);
  const std::vector<Enqueued> one = record_step(state, config), other = record_step(state, config);
  CHECK(one.size() > 100);
  return differences(one, other);
}

}  // namespace

TEST_CASE("GPU: two steps enqueue the same with the same addresses, but for what is listed") {
  const NoDebugging guard;
  std::set<std::string> seen;
  for (const std::string name : {"lm-smoe", "lm-rmoe", "llama-smoe", "llama-rmoe+everything"})
    for (const std::string precision : {"fp32", "bf16"}) {
      CAPTURE(name);
      CAPTURE(precision);
      seen.merge(differences(config_of(name, precision, name.ends_with("smoe") ? 1 : 2)));
    }
  std::set<std::string> listed;
  for (const auto& [part, why] : kByDesign) listed.insert(part);
  CHECK(seen == listed);
}

TEST_CASE("GPU: a validation between two steps does not move them") {
  const NoDebugging guard;
  const Config config = config_of("lm-rmoe", "fp32", 1);
  memory::give_back_unused();
  reserve_for_training(config, alone());
  const std::vector<int32_t> text(2000, 3);
  TrainState state(config, std::make_unique<BatchStream>(text, 4, 6, 1), Device::cuda);
  train_step(state, config);
  const std::vector<Enqueued> one = record_step(state, config);
  {
    const NoGrad no_gradients;
    const Tensor tokens = full({8, 40}, 3, DType::i32);
    const Memory memory = state.model.initial_memory(8);
    CHECK(state.model(tokens, memory, {}).memory.size() == memory.size());
    cuda::synchronize();  // a validation reads its losses
  }
  differences(one, record_step(state, config));
}

}  // namespace rmoe::test
