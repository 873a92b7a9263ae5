// Runs of the real program on the emulated GPU: one rank, two and four of them.
#include "engine/comm/test_ranks.hpp"
#include "tests/toy_run.hpp"
#include "train/ranks.hpp"
#include "train/safetensors.hpp"

#include <chrono>
#include <cmath>
#include <doctest/doctest.h>
#include <random>
#include <signal.h>
#include <thread>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;
constexpr char kOneOfTwo[] = "one rank of two whose collectives differ";

/// A toy run of ten steps in four micro-batches on the GPU.
std::vector<std::string> on_gpu(const std::string& run, std::vector<std::string> extra) {
  extra.insert(extra.end(), {"--device", "cuda", "--set", "train.micro_batches=4", "--set", "train.steps=10",
                             "--set", "train.analyze_every=0"});
  return train_toy(run, std::move(extra));
}

struct Numbers {
  std::vector<double> loss, grad_norm, valid_loss, load;
};

std::vector<double> numbers(const fs::path& run, const std::string& key) {
  std::vector<double> values;
  for (const std::string& text : metric(run, key)) values.push_back(std::stod(text));
  return values;
}

void check_close(const std::vector<double>& got, const std::vector<double>& wanted, double tolerance) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(std::fabs(got[i] - wanted[i]) < tolerance * wanted[i]);
}

/// Sums over ranks come in another order than those over micro-batches: rounding is all that may differ.
void check_same_run(const fs::path& got, const fs::path& wanted) {
  for (const std::string key : {"loss", "balance_loss", "expert_load", "router_entropy"}) {
    CAPTURE(key);
    check_close(numbers(got, key), numbers(wanted, key), 2e-5);
  }
  const auto last = [](const fs::path& run) { return std::vector{numbers(run, "valid_loss").back()}; };
  check_close(last(got), last(wanted), 2e-5);
  check_close(numbers(got, "grad_norm"), numbers(wanted, "grad_norm"), 2e-3);
}

/// Weights and moments, as far as rounding lets them be: the norm of the difference to that of the tensor.
void check_same_checkpoint(const fs::path& got, const fs::path& wanted) {
  for (const std::string file : {"latest/model.safetensors", "latest/optimizer.safetensors"}) {
    const auto mine = read_safetensors(got / file).tensors, other = read_safetensors(wanted / file).tensors;
    REQUIRE(mine.size() == other.size());
    for (size_t i = 0; i < mine.size(); ++i) {
      CAPTURE(mine[i].name);
      CHECK(mine[i].name == other[i].name);
      REQUIRE(mine[i].tensor.shape() == other[i].tensor.shape());
      const auto a = mine[i].tensor.span<float>(), b = other[i].tensor.span<float>();
      double difference = 0, norm = 0;
      for (size_t k = 0; k < a.size(); ++k) {
        difference += std::pow(double(a[k]) - double(b[k]), 2);
        norm += std::pow(double(b[k]), 2);
      }
      CHECK(std::sqrt(difference) < 1e-5 * std::sqrt(norm));
    }
  }
}

/// What makes a toy run one of llama, whose experts are spread over groups of so many.
std::vector<std::string> spread(const std::string& group, std::vector<std::string> extra = {}) {
  extra.insert(extra.end(), kToyLlama.begin(), kToyLlama.end());
  extra.insert(extra.end(), {"--set", "model.experts=8", "--set", "train.expert_parallel=" + group});
  return extra;
}

/// Emulated machines with that many GPUs, whose ranks may be slow: a busy processor is no dead rank.
struct Gpus {
  explicit Gpus(int count) {
    setenv("RMOE_EMULATOR_DEVICES", std::to_string(count).c_str(), 1);
    setenv("RMOE_EMULATOR_COLLECTIVE_TIMEOUT_S", "300", 1);
  }
  ~Gpus() {
    unsetenv("RMOE_EMULATOR_DEVICES");
    unsetenv("RMOE_EMULATOR_COLLECTIVE_TIMEOUT_S");
  }
};

/// The last step that a run has noted; 0 before the first.
int64_t last_step(const fs::path& run) {
  const std::vector<std::string> steps = metric(run, "step");
  return steps.empty() ? 0 : std::stoll(steps.back());
}

void wait_for_step(const fs::path& run, int64_t step) {
  constexpr auto kLook = std::chrono::milliseconds(5), kLongest = std::chrono::milliseconds(300000);
  for (auto waited = kLook; last_step(run) < step; waited += kLook) {
    REQUIRE(waited < kLongest);
    std::this_thread::sleep_for(kLook);
  }
}

/// Every rank but the dead one says who died, and in which step it was itself, and ends before the launcher
/// loses patience.
void check_others_end(const ProcessResult& result, size_t count, size_t dead) {
  CAPTURE(result.err);
  CHECK(result.code != 0);
  CHECK(result.err.find("did not end") == std::string::npos);
  for (size_t rank = 0; rank < count; ++rank)
    CHECK((rank == dead || result.err.find(concat("rmoe: rank ", rank, ", step ")) != std::string::npos));
  CHECK(result.err.find(concat(": rank ", dead, " (")) != std::string::npos);
}

}  // namespace

TEST_CASE("ranks: two and four train as one does, and go on from each other's checkpoints") {
  const TestFolder folder;
  make_toy(folder);
  const Gpus four(4);
  const auto train = [&](const std::string& run, std::vector<std::string> extra) {
    const ProcessResult result = rmoe(folder.path(), on_gpu(run, std::move(extra)));
    REQUIRE_MESSAGE(result.code == 0, result.err);
  };
  train("one", {});
  CHECK(numbers(folder / "one", "loss").size() == 10);
  train("two", {"--nproc", "2"});
  check_same_run(folder / "two", folder / "one");
  train("shared", {"--nproc", "4", "--set", "optimizer.shard=true", "--steps", "5"});
  train("shared", {"--nproc", "2", "--resume", "--set", "optimizer.shard=true"});
  check_same_run(folder / "shared", folder / "one");
  train("four", {"--nproc", "4", "--steps", "5"});
  train("four", {"--nproc", "2", "--resume"});
  check_same_run(folder / "four", folder / "one");
}

TEST_CASE("ranks: bf16 weights whose masters are cut come back from a checkpoint to the last bit") {
  const TestFolder folder;
  make_toy(folder);
  const Gpus four(4);
  const auto train = [&](const std::string& run, const std::string& group, std::vector<std::string> extra) {
    extra.insert(extra.end(), {"--set", "train.precision=bf16", "--set", "train.batch=8"});
    const ProcessResult result = rmoe(folder.path(), on_gpu(run, spread(group, extra)));
    REQUIRE_MESSAGE(result.code == 0, result.err);
  };
  train("whole", "2", {"--nproc", "4", "--set", "optimizer.shard=true", "--steps", "4"});
  train("halves", "2", {"--nproc", "4", "--set", "optimizer.shard=true", "--steps", "2"});
  train("halves", "2", {"--nproc", "4", "--set", "optimizer.shard=true", "--steps", "4", "--resume"});
  for (const char* file : {"latest/model.safetensors", "latest/optimizer.safetensors"})
    CHECK(read_text(folder / "halves" / file) == read_text(folder / "whole" / file));
  train("one", "1", {"--steps", "4"});
  check_close(numbers(folder / "whole", "loss"), numbers(folder / "one", "loss"), 5e-3);
}

TEST_CASE("ranks: experts spread over groups train as those of one do, and their checkpoints are whole") {
  const TestFolder folder;
  make_toy(folder);
  const Gpus four(4);
  const auto train = [&](const std::string& run, const std::string& ranks, const std::string& group,
                         std::vector<std::string> extra = {}) {
    extra.insert(extra.end(), {"--nproc", ranks});
    const ProcessResult result = rmoe(folder.path(), on_gpu(run, spread(group, extra)));
    REQUIRE_MESSAGE(result.code == 0, result.err);
  };
  train("one", "1", "1");
  train("groups", "4", "2");
  check_same_run(folder / "groups", folder / "one");
  check_same_checkpoint(folder / "groups", folder / "one");
  check_close(numbers(folder / "groups", "grad_norm"), numbers(folder / "one", "grad_norm"), 1e-5);
  const auto until = [](const char* step) {
    return std::vector<std::string>{"--set", "optimizer.shard=true", "--resume", "--steps", step};
  };
  train("cut", "4", "2", until("4"));
  train("cut", "2", "1", until("7"));
  train("cut", "4", "4", until("10"));
  check_same_run(folder / "cut", folder / "one");
  check_same_checkpoint(folder / "cut", folder / "one");
  check_close(numbers(folder / "cut", "grad_norm"), numbers(folder / "one", "grad_norm"), 1e-5);
  CHECK(rmoe(folder.path(), {"eval", "groups"}).code == 0);
}

TEST_CASE("ranks: what they cannot be is refused in one line") {
  const TestFolder folder;
  make_toy(folder);
  const Gpus two(2);
  const ProcessResult odd = rmoe(folder.path(), on_gpu("odd", {"--nproc", "3"}));
  CHECK(odd.code != 0);
  CHECK(odd.err.find("GPU") != std::string::npos);
  const ProcessResult cpu = rmoe(folder.path(), train_toy("cpu", {"--nproc", "2"}));
  CHECK(cpu.code != 0);
  CHECK(cpu.err.find("--device cuda") != std::string::npos);
  const ProcessResult group = rmoe(folder.path(), on_gpu("group", spread("4", {"--nproc", "2"})));
  CHECK(group.code != 0);
  CHECK(group.err.find("train.expert_parallel: wanted a divisor of the number of ranks, 2, got 4") !=
        std::string::npos);
}

TEST_CASE("ranks: nothing is kept when a collective has failed") {
  const Gpus two(2);
  const Output o = run_ranks(2, {"/proc/self/exe", concat("--test-case=", kOneOfTwo)});
  CAPTURE(o.out);
  CAPTURE(o.err);
  CHECK((o.out + o.err).find("ranks: nccl: ") != std::string::npos);
  CHECK((o.out + o.err).find("mismatched collectives") != std::string::npos);
}

TEST_CASE(kOneOfTwo) {
  const Environment environment = process_environment();
  if (!started_by_launch_ranks(environment)) return;
  Ranks ranks(launch_from_environment(environment), Device::cuda, {});
  ranks.communicator().all_reduce(zeros({4 + ranks.rank()}, DType::f32, Device::cuda));
  ranks.settle();
}

TEST_CASE("ranks: whoever is killed at whatever step, the others end, name it, and the checkpoint is whole") {
  const TestFolder folder;
  make_toy(folder);
  const Gpus four(4);
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::minstd_rand random(seed);
  for (size_t round = 0; round < 10; ++round) {  // each goes on from what the killed ones before left
    const bool groups = round % 2 == 1;
    const std::string name = groups ? "groups" : "run";
    const size_t count = round % 5 == 4 ? 4 : 2, dead = random() % count, moment_us = random() % 100000;
    const int64_t step = last_step(folder / name) + 2 + int64_t(random() % 4);
    CAPTURE(step);
    CAPTURE(dead);
    CAPTURE(moment_us);
    std::vector<std::string> options{"--nproc", std::to_string(count), "--steps", "100000"};
    for (const char* setting : {"train.eval_every=0", "train.checkpoint_every=2"})
      options.insert(options.end(), {"--set", setting});
    if (round > 1) options.push_back("--resume");
    Process run(folder.path(), on_gpu(name, groups ? spread("2", options) : options));
    wait_for_step(folder / name, step);
    const std::vector<pid_t> ranks = run.children();
    REQUIRE(ranks.size() == count);
    std::this_thread::sleep_for(std::chrono::microseconds(moment_us));
    kill(ranks[dead], SIGKILL);
    check_others_end(run.wait(), count, dead);
  }
  for (const char* name : {"run", "groups"}) {
    const ProcessResult kept = rmoe(folder.path(), {"eval", name});
    CHECK_MESSAGE(kept.code == 0, kept.err);
  }
}

}  // namespace rmoe::test
