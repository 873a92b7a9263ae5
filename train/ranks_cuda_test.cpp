// Runs of the real program on the emulated GPU: one rank, two and four of them.
#include "tests/toy_run.hpp"

#include <chrono>
#include <cmath>
#include <doctest/doctest.h>
#include <signal.h>
#include <thread>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

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

/// Emulated machines with that many GPUs.
struct Gpus {
  explicit Gpus(int count) { setenv("RMOE_EMULATOR_DEVICES", std::to_string(count).c_str(), 1); }
  ~Gpus() { unsetenv("RMOE_EMULATOR_DEVICES"); }
};

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
  const Gpus two(2);
  const auto train = [&](const std::string& run, std::vector<std::string> extra) {
    extra.insert(extra.end(), {"--set", "train.precision=bf16", "--set", "train.batch=6"});
    const ProcessResult result = rmoe(folder.path(), on_gpu(run, std::move(extra)));
    REQUIRE_MESSAGE(result.code == 0, result.err);
  };
  train("whole", {"--nproc", "2", "--set", "optimizer.shard=true"});
  train("halves", {"--nproc", "2", "--set", "optimizer.shard=true", "--steps", "5"});
  train("halves", {"--nproc", "2", "--set", "optimizer.shard=true", "--resume"});
  const std::string file = "latest/model.safetensors";
  CHECK(read_text(folder / "halves" / file) == read_text(folder / "whole" / file));
  train("one", {});
  check_close(numbers(folder / "whole", "loss"), numbers(folder / "one", "loss"), 5e-3);
}

TEST_CASE(
    "ranks: experts spread over two and four train as those of one do, and their checkpoints are whole") {
  const TestFolder folder;
  make_toy(folder);
  const Gpus four(4);
  const auto train = [&](const std::string& run, std::vector<std::string> extra) {
    extra.insert(extra.end(), kToyLlama.begin(), kToyLlama.end());
    extra.insert(extra.end(), {"--set", "model.experts=8"});
    const ProcessResult result = rmoe(folder.path(), on_gpu(run, std::move(extra)));
    REQUIRE_MESSAGE(result.code == 0, result.err);
  };
  train("one", {});
  train("two", {"--nproc", "2", "--set", "train.spread_experts=true"});
  check_same_run(folder / "two", folder / "one");
  train("cut", {"--nproc", "4", "--set", "train.spread_experts=true", "--set", "optimizer.shard=true",
                "--steps", "5"});
  train("cut",
        {"--nproc", "2", "--set", "train.spread_experts=true", "--set", "optimizer.shard=true", "--resume"});
  check_same_run(folder / "cut", folder / "one");
  CHECK(rmoe(folder.path(), {"eval", "two"}).code == 0);
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
}

TEST_CASE("ranks: when one is killed the others end, name it, and the last checkpoint is whole") {
  const TestFolder folder;
  make_toy(folder);
  const Gpus two(2);
  Process run(folder.path(), on_gpu("run", {"--nproc", "2", "--set", "train.steps=100000", "--set",
                                            "train.eval_every=0", "--set", "train.checkpoint_every=3"}));
  while (!fs::exists(folder / "run/latest")) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::vector<pid_t> ranks = run.children();
  REQUIRE(ranks.size() == 2);
  kill(ranks[1], SIGKILL);
  const ProcessResult result = run.wait();
  CHECK(result.code == 128 + SIGKILL);
  CHECK(result.err.find("rank 1") != std::string::npos);
  const ProcessResult kept = rmoe(folder.path(), {"eval", "run"});
  CHECK_MESSAGE(kept.code == 0, kept.err);
}

}  // namespace rmoe::test
