// Runs of the real binary give the same bits at any thread count and after any interruption.
#include "engine/random.hpp"
#include "tests/toy_run.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

std::string weights(const fs::path& run) { return read_text(run / "latest/model.safetensors"); }
std::string moments(const fs::path& run) { return read_text(run / "latest/optimizer.safetensors"); }
std::string memory(const fs::path& run) { return read_text(run / "latest/memory.safetensors"); }

void check_same_run(const fs::path& a, const fs::path& b) {
  CHECK(metric(a, "loss") == metric(b, "loss"));
  CHECK(metric(a, "valid_loss") == metric(b, "valid_loss"));
  REQUIRE(!weights(a).empty());
  CHECK(weights(a) == weights(b));
  CHECK(moments(a) == moments(b));
  CHECK(memory(a) == memory(b));
  CHECK(fs::read_symlink(a / "best") == fs::read_symlink(b / "best"));
}

/// Flips one bit in the middle of a file.
void damage(const fs::path& path) {
  std::string bytes = read_text(path);
  REQUIRE(bytes.size() > 100);
  bytes[bytes.size() / 2] ^= 1;
  write_text(path, bytes);
}

}  // namespace

TEST_CASE("resume: 20 steps are 10 steps, stop, 10 steps, to the last bit") {
  const std::vector<std::string> llama = {
      "--set", "model.kind=llama",           "--set", "optimizer.name=adamw",
      "--set", "optimizer.weight_decay=0.1", "--set", "optimizer.clip=1"};
  for (const std::string router : {"smoe", "rmoe"})
    for (std::vector<std::string> options : {std::vector<std::string>{}, llama}) {
      CAPTURE(router);
      CAPTURE(options.size());
      const TestFolder folder;
      make_toy(folder);
      options.insert(options.end(), {"--router", router});
      const auto train = [&](const std::string& run, std::vector<std::string> extra) {
        extra.insert(extra.end(), options.begin(), options.end());
        const ProcessResult result = rmoe(folder.path(), train_toy(run, extra));
        REQUIRE_MESSAGE(result.code == 0, result.err);
      };
      train("whole", {});
      train("halves", {"--steps", "10"});
      train("halves", {"--resume"});
      CHECK(metric(folder / "whole", "loss").size() == 20);
      check_same_run(folder / "whole", folder / "halves");
    }
}

TEST_CASE("resume: one, two and three threads give the same bits, with bf16 products others") {
  for (const std::string precision : {"fp32", "bf16"}) {
    CAPTURE(precision);
    const TestFolder folder;
    make_toy(folder);
    const auto train = [&](const std::string& run, const std::string& threads, const std::string& as) {
      const auto options = train_toy(run, {"--threads", threads, "--set", "train.precision=" + as});
      REQUIRE(rmoe(folder.path(), options).code == 0);
    };
    for (const char* threads : {"1", "2", "3"}) train(threads, threads, precision);
    check_same_run(folder / "1", folder / "2");
    check_same_run(folder / "1", folder / "3");
    train("other", "1", precision == "bf16" ? "fp32" : "bf16");
    CHECK(weights(folder / "1") != weights(folder / "other"));
  }
}

TEST_CASE("resume: micro-batches of any number leave the masks and the memory alone") {
  const TestFolder folder;
  make_toy(folder);
  const auto run = [&](const std::string& parts) {
    return rmoe(folder.path(), train_toy(parts, {"--set", "train.micro_batches=" + parts, "--set",
                                                 "router.balance_weight=0", "--steps", "4"}))
        .code;
  };
  REQUIRE(run("1") == 0);
  REQUIRE(run("2") == 0);
  const auto whole = metric(folder / "1", "loss"), split = metric(folder / "2", "loss");
  REQUIRE(whole.size() == split.size());
  for (size_t i = 0; i < whole.size(); ++i)
    CHECK(std::fabs(std::stod(whole[i]) - std::stod(split[i])) < 1e-5);
}

TEST_CASE("resume: an interrupted run saves, says so, and goes on as if nothing had happened") {
  const TestFolder folder;
  make_toy(folder);
  REQUIRE(rmoe(folder.path(), train_toy("whole", {"--steps", "300"})).code == 0);
  for (const int number : {SIGINT, SIGTERM}) {
    const std::string run = number == SIGINT ? "int" : "term";
    Process process(folder.path(), train_toy(run, {"--steps", "300"}));
    while (metric(folder / run, "loss").size() < 5) usleep(2000);
    process.signal(number);
    const ProcessResult stopped = process.wait();
    CHECK(stopped.code == 130);
    CHECK(stopped.out.find("go on with --resume") != stopped.out.npos);
    REQUIRE(rmoe(folder.path(), train_toy(run, {"--steps", "300", "--resume"})).code == 0);
    check_same_run(folder / "whole", folder / run);
  }
}

TEST_CASE("resume: kill -9 at 20 random moments loses nothing that was saved") {
  const TestFolder folder;
  make_toy(folder);
  const std::vector<std::string> often = {"--set", "train.checkpoint_every=2", "--steps", "4000", "--resume"};
  for (int i = 0; i < 20 || (i < 100 && !fs::exists(folder / "killed/latest")); ++i) {
    Process process(folder.path(), train_toy("killed", often));
    usleep(20'000 + int(uniform_at(3, 4, i) * 180'000) * (1 + i / 20));
    process.signal(SIGKILL);
    const ProcessResult result = process.wait();
    CHECK_MESSAGE(result.code == 128 + SIGKILL, result.err);
  }
  const auto saved =
      fs::exists(folder / "killed/latest") ? fs::read_symlink(folder / "killed/latest").string() : "step-0";
  const int64_t step = std::stoll(saved.substr(saved.find_last_of('-') + 1));
  const std::string steps = std::to_string(step + 6);
  const std::vector<std::string> to_end = {"--set", "train.checkpoint_every=2", "--steps", steps};
  auto resumed = to_end;
  resumed.push_back("--resume");
  const ProcessResult end = rmoe(folder.path(), train_toy("killed", resumed));
  REQUIRE_MESSAGE(end.code == 0, end.err);
  REQUIRE(rmoe(folder.path(), train_toy("whole", to_end)).code == 0);
  CHECK(step > 0);
  check_same_run(folder / "whole", folder / "killed");
}

TEST_CASE("resume: a damaged checkpoint is named and the one before is used") {
  const TestFolder folder;
  make_toy(folder);
  const auto steps = [](const char* n) {
    return std::vector<std::string>{"--set", "train.checkpoint_every=2", "--steps", n};
  };
  REQUIRE(rmoe(folder.path(), train_toy("whole", steps("12"))).code == 0);
  for (const std::string file :
       {"model.safetensors", "optimizer.safetensors", "memory.safetensors", "state.json"}) {
    CAPTURE(file);
    REQUIRE(rmoe(folder.path(), train_toy(file, steps("8"))).code == 0);
    if (file == "optimizer.safetensors")
      fs::resize_file(folder / file / "checkpoints/step-8" / file, 1000);
    else
      damage(folder / file / "checkpoints/step-8" / file);
    auto again = steps("12");
    again.push_back("--resume");
    const ProcessResult result = rmoe(folder.path(), train_toy(file, again));
    CHECK(result.code == 0);
    CHECK_MESSAGE(result.err.find("step-8/" + file) != result.err.npos, result.err);
    check_same_run(folder / "whole", folder / file);
  }
}

}  // namespace rmoe::test
