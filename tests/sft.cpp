// Fine-tuning and evaluation tasks with the real binary: what it prints, writes and returns.
#include "tests/op_case.hpp"
#include "tests/toy_run.hpp"
#include "train/safetensors.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

/// A folder with a small llama that has hardly learned anything (run "base"), and what to teach it.
void make_sft(const TestFolder& folder) {
  make_instructions(folder);
  std::vector<std::string> args = kToyLlama;
  args.insert(args.end(), {"--steps", "6"});
  const ProcessResult base = rmoe(folder.path(), train_toy("base", args));
  REQUIRE_MESSAGE(base.code == 0, base.err);
}

std::vector<std::string> sft(const std::string& run, std::vector<std::string> extra = {}) {
  std::vector<std::string> args{"sft",        "sft.toml", "--init", "base",  "--data",
                                "words.json", "--valid",  "2",      "--run", run};
  args.insert(args.end(), extra.begin(), extra.end());
  return args;
}

void check_mistake(const TestFolder& folder, const std::vector<std::string>& args, int code,
                   const std::string& message) {
  const ProcessResult result = rmoe(folder.path(), args);
  CHECK(result.code == code);
  CHECK_MESSAGE(result.err.find(message) != result.err.npos, result.err);
}

std::string weights(const fs::path& run) { return read_text(run / "latest/model.safetensors"); }

Tensor tensor_of(const fs::path& run, const std::string& name) {
  for (const NamedTensor& t : read_safetensors(run / "latest/model.safetensors").tensors)
    if (t.name == name) return t.tensor;
  fail("no ", name);
}

}  // namespace

TEST_CASE("sft: it learns, stops and goes on to the same bits, and keeps what is frozen") {
  const TestFolder folder;
  make_sft(folder);
  const ProcessResult whole = rmoe(folder.path(), sft("whole", {"--set", "sft.epochs=6"}));
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  CHECK(whole.out.starts_with("done: 8 examples, 12 steps, valid loss "));
  const auto losses = metric(folder / "whole", "loss");
  REQUIRE(losses.size() == 12);
  CHECK(std::stod(losses.back()) < 0.7 * std::stod(losses.front()));  // 0.637
  const auto valid = metric(folder / "whole", "valid_loss");          // of words it does not learn
  REQUIRE(valid.size() == 3);
  CHECK(std::stod(valid[1]) < 0.95 * std::stod(valid[0]));
  CHECK(std::stod(valid[2]) < std::stod(valid[1]));

  const std::vector<std::string> half = {"--set", "sft.epochs=6", "--set", "train.checkpoint_every=5"};
  Process process(folder.path(), sft("halves", half));
  while (metric(folder / "halves", "loss").size() < 3) usleep(2000);
  process.signal(SIGINT);
  CHECK(process.wait().code == 130);
  auto again = half;
  again.push_back("--resume");
  REQUIRE(rmoe(folder.path(), sft("halves", again)).code == 0);
  CHECK(metric(folder / "halves", "loss") == losses);
  CHECK(weights(folder / "halves") == weights(folder / "whole"));

  REQUIRE(rmoe(folder.path(), sft("frozen", {"--freeze", "router,recurrent", "--steps", "3"})).code == 0);
  CHECK(metric(folder / "frozen", "loss").size() == 3);
  for (const char* name :
       {"layers.0.moe.router.head.weight", "layers.1.moe.router.proj.weight", "router_cell.weight_hh"}) {
    CAPTURE(name);
    const Tensor before = tensor_of(folder / "base", name), after = tensor_of(folder / "frozen", name);
    CHECK(std::ranges::equal(before.span<float>(), after.span<float>()));
  }
  CHECK(weights(folder / "frozen") != weights(folder / "base"));
  CHECK(rmoe(folder.path(), {"sample", "whole", "--prompt", "red", "--tokens", "3"}).code == 0);
}

TEST_CASE("sft: mistakes are one line each") {
  const TestFolder folder;
  make_sft(folder);
  check_mistake(folder, {"sft", "sft.toml", "--data", "words.json"}, 2, "--init is missing");
  check_mistake(folder, sft("r", {"--set", "model.hidden=48", "--set", "model.layers=3"}), 2,
                "model.layers is 3, but 2 in base/best; model.hidden is 48, but 24");
  check_mistake(folder, sft("r", {"--freeze", "experts"}), 2, "--freeze");
  check_mistake(folder, {"sft", "sft.toml", "--init", "base"}, 2, "sft.data is not set");
  check_mistake(folder, {"sft", "sft.toml", "--init", "base", "--data", "words.json", "--valid", "10"}, 1,
                "words.json has 10 examples");
  check_mistake(folder, sft("r", {"--set", "train.block=100"}), 1, "raise train.block");
  check_mistake(folder, {"sft", "sft.toml", "--init", "base/best/model.safetensors", "--data", "words.json"},
                2, "a file of weights brings no tokenizer");
  CHECK(rmoe(folder.path(), {"sft", "--help"}).out.find("--freeze") != std::string::npos);
}

TEST_CASE("eval: tasks from the command line, as table, JSON and samples") {
  const TestFolder folder;
  make_sft(folder);
  const std::vector<std::string> eval = {"eval",        "base",     "--tasks", "arc_easy,lambada_openai",
                                         "--tasks-dir", toy_tasks()};
  const ProcessResult table = rmoe(folder.path(), eval);
  CHECK_MESSAGE(table.code == 0, table.err);
  CHECK(table.out.find("|arc_easy      |      1|none  |     0|acc       |↑  |") != std::string::npos);
  auto with_json = eval;
  with_json.insert(with_json.end(), {"--json", "--samples", "samples.jsonl", "--limit", "3"});
  const ProcessResult json = rmoe(folder.path(), with_json);
  const auto report = nlohmann::json::parse(json.out);
  CHECK(report["results"]["arc_easy"]["acc_norm,none"].is_number());
  CHECK(report["config"]["max_length"] == 64);  // train.block of base
  CHECK(report["n-samples"]["lambada_openai"]["effective"] == 3);
  const std::string samples = read_text(folder / "samples.jsonl");
  CHECK(std::ranges::count(samples, '\n') == 4 + 4 + 3 + 3);
  check_mistake(folder, {"eval", "base", "--tasks", "boolq"}, 2, "boolq");
  check_mistake(folder, {"eval", "base", "--limit", "3"}, 2, "--tasks");
  check_mistake(folder, {"eval", "base", "--tasks", "piqa", "--tasks-dir", "none"}, 1, "rmoe data get piqa");
}

}  // namespace rmoe::test
