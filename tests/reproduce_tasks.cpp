// `rmoe reproduce` where models are pre-trained, fine-tuned and evaluated in tasks.
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
using nlohmann::json;

/// One seed of 6 steps; 2 steps of fine-tuning.
std::vector<std::string> toy(const std::string& table, const std::string& routers,
                             const std::string& out = "out") {
  std::vector<std::string> args{"reproduce", table, "--config",    "toy.toml", "--steps",   "6",
                                "--seeds",   "1",   "--threads",   "1",        "--routers", routers,
                                "--out",     out,   "--tasks-dir", toy_tasks()};
  args.insert(args.end(), kToyLlama.begin(), kToyLlama.end());
  if (table == "table7")
    args.insert(args.end(), {"--sft", "sft.toml", "--instructions", "words.json", "--set", "sft.epochs=1"});
  return args;
}

ProcessResult run(const TestFolder& folder, const std::vector<std::string>& args) {
  const ProcessResult result = rmoe(folder.path(), args);
  REQUIRE_MESSAGE(result.code == 0, result.err);
  return result;
}

/// The values of all parameters of a run whose names have `part` in them.
std::vector<float> weights(const fs::path& run, const std::string& part) {
  std::vector<float> values;
  for (const NamedTensor& t : read_safetensors(run / "latest/model.safetensors").tensors)
    if (t.name.find(part) != t.name.npos)
      values.insert(values.end(), t.tensor.data<float>(), t.tensor.data<float>() + t.tensor.numel());
  return values;
}

}  // namespace

TEST_CASE("reproduce: table 3 pre-trains to two lengths and has the numbers of rmoe eval") {
  const TestFolder folder;
  make_instructions(folder);
  const ProcessResult first = run(folder, toy("table3", "smoe,rmoe"));
  CHECK(first.out.find("4 to train, 0 trained") != first.out.npos);
  const json table = read_json(folder / "out/table3-toy.json");
  CHECK(table.at("runs")[2].at("run") == "toy-toy/smoe-2xsteps-seed1");
  CHECK(table.at("runs")[2].at("steps") == 12);

  const ProcessResult eval = rmoe(
      folder.path(), {"eval", "out/toy-toy/rmoe-seed1", "--tasks",
                      "arc_easy,hellaswag,piqa,sciq,lambada_openai", "--tasks-dir", toy_tasks(), "--json"});
  const json results = json::parse(eval.out).at("results");
  const json& cells = table.at("rows")[1].at("cells");
  const auto ours = [&](int column) { return cells[size_t(column)].at("ours").at("mean").get<double>(); };
  CHECK(ours(1) == 100 * results.at("arc_easy").at("acc,none").get<double>());
  CHECK(ours(2) == 100 * results.at("hellaswag").at("acc_norm,none").get<double>());
  CHECK(ours(3) == 100 * results.at("piqa").at("acc_norm,none").get<double>());
  CHECK(ours(6) == doctest::Approx((ours(1) + ours(2) + ours(3) + ours(4) + ours(5)) / 5).epsilon(1e-12));
  CHECK(cells[4].at("paper") == 78.7);
  CHECK(table.at("rows")[3].at("differences_to") == "SMoE, 40B");

  CHECK(run(folder, toy("table3", "smoe,rmoe")).out.find("nothing is left to train") != std::string::npos);
  CHECK(read_json(folder / "out/table3-toy.json") == table);
}

TEST_CASE("reproduce: table 7 tunes what table 3 has trained, and freezes what it says") {
  const TestFolder folder;
  make_instructions(folder);
  run(folder, toy("table3", "smoe"));
  const ProcessResult result = run(folder, toy("table7", "smoe,rmoe-rnn"));
  CHECK(result.out.find("6 to train, 1 trained") != result.out.npos);
  CHECK(result.out.find("| SMoE, tuned, router frozen |") != result.out.npos);
  CHECK(result.out.find("| unknown |") != result.out.npos);
  CHECK(result.out.find("| 47.14 |") != result.out.npos);

  const fs::path runs = folder / "out/toy-toy";
  const auto same = [&](const std::string& tuning, const std::string& part) {
    const std::string base = "rmoe-rnn-2xstate";
    const std::vector<float> before = weights(runs / (base + "-seed1"), part);
    REQUIRE(!before.empty());
    return before == weights(runs / (base + tuning + "-seed1"), part);
  };
  for (const std::string part : {"experts", "attn"}) CHECK(!same("-sft-router-and-cell-frozen", part));
  CHECK(!same("-sft", "router.head"));
  CHECK(!same("-sft-router-frozen", "router_cell"));
  CHECK(same("-sft-router-frozen", "router.head"));
  CHECK(same("-sft-router-and-cell-frozen", "router.head"));
  CHECK(same("-sft-router-and-cell-frozen", "router_cell"));

  // A base that is trained again comes out the same, and what was tuned from it stays; another one is
  // refused.
  const std::vector<float> tuned = weights(runs / "smoe-sft-seed1", "");
  fs::remove_all(runs / "smoe-seed1");
  run(folder, toy("table7", "smoe"));
  CHECK(weights(runs / "smoe-sft-seed1", "") == tuned);
  write_text(runs / "smoe-sft-seed1/origin.json", "{\"model\": \"another\"}");
  const ProcessResult refused = rmoe(folder.path(), toy("table7", "smoe"));
  CHECK(refused.code == 1);
  CHECK_MESSAGE(
      refused.err.find("smoe-sft-seed1 was fine-tuned from other weights than") != std::string::npos,
      refused.err);
}

TEST_CASE("reproduce: a table with fine-tuning, interrupted, comes out the same") {
  const TestFolder folder;
  make_instructions(folder);
  run(folder, toy("table7", "smoe", "whole"));
  int interruptions = 0;
  for (const char* wait_for :
       {"smoe-seed1/result.json", "smoe-sft-seed1/origin.json", "smoe-sft-seed1/result.json"}) {
    Process process(folder.path(), toy("table7", "smoe", "cut"));
    for (int ms = 0; ms < 20'000 && !fs::exists(folder / "cut/toy-toy" / wait_for); ms += 2) usleep(2000);
    process.signal(SIGINT);
    const int code = process.wait().code;
    CHECK((code == 130 || code == 0));
    interruptions += code == 130;
  }
  CHECK(interruptions > 0);
  run(folder, toy("table7", "smoe", "cut"));
  CHECK(repeatable(folder / "cut/table7-toy.json") == repeatable(folder / "whole/table7-toy.json"));
}

TEST_CASE("reproduce: missing tasks and instructions are named before anything is trained") {
  const TestFolder folder;
  make_instructions(folder);
  const auto check = [&](const std::string& option, const std::string& value, int code,
                         const std::string& part) {
    std::vector<std::string> args = toy("table7", "smoe");
    const auto at = std::ranges::find(args, option);
    if (value.empty())
      args.erase(at, at + 2);
    else
      at[1] = value;
    const ProcessResult result = rmoe(folder.path(), args);
    CHECK(result.code == code);
    CHECK_MESSAGE(result.err.find(part) != result.err.npos, result.err);
    CHECK(!fs::exists(folder / "out"));
  };
  check("--instructions", "", 2, "name a file with --instructions; \"rmoe data get alpaca\"");
  check("--instructions", "none.json", 1, "there are no instructions at none.json");
  check("--tasks-dir", "none", 1, "rmoe data get arc");
  std::vector<std::string> args = toy("table3", "smoe");
  args.insert(args.end(), {"--set", "sft.epochs=1"});
  CHECK(rmoe(folder.path(), args).err.find("table3 does not fine-tune") != std::string::npos);
}

}  // namespace rmoe::test
