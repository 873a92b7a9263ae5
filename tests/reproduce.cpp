// `rmoe reproduce` as a user runs it: a table from nothing, again, interrupted, and with runs that do not
// fit.
#include "engine/random.hpp"
#include "tests/toy_run.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Two seeds of 12 steps, unless `extra` says otherwise.
std::vector<std::string> toy(const std::string& table, std::vector<std::string> extra = {}) {
  const auto add_default = [&](const char* option, const char* value) {
    if (std::ranges::find(extra, option) == extra.end()) extra.insert(extra.end(), {option, value});
  };
  add_default("--steps", "12");
  add_default("--seeds", "2");
  add_default("--threads", "1");
  extra.insert(extra.begin(), {"reproduce", table, "--config", "toy.toml"});
  return extra;
}

const std::vector<std::string> kTwoRouters{"--routers", "smoe,rmoe"};

ProcessResult run_toy(const TestFolder& folder, const std::string& table,
                      std::vector<std::string> extra = {}) {
  const ProcessResult result = rmoe(folder.path(), toy(table, std::move(extra)));
  REQUIRE_MESSAGE(result.code == 0, result.err);
  return result;
}

const char* kTable = "runs/reproduce/table1-toy.json";
const char* kRun = "runs/reproduce/toy-toy/rmoe-seed2";

}  // namespace

TEST_CASE("reproduce: a table is trained, evaluated and written three times; then nothing is left to do") {
  const TestFolder folder;
  make_toy(folder);
  const ProcessResult first = run_toy(folder, "table1", kTwoRouters);
  CHECK(first.out.find("4 to train, 0 trained") != first.out.npos);
  CHECK(first.out.find("| RMoE |") != first.out.npos);
  CHECK(first.err.find("run 4 of 4: rmoe, seed 2") != first.err.npos);
  for (const char* ending : {"md", "json", "html"})
    CHECK(fs::file_size(folder / (std::string("runs/reproduce/table1-toy.") + ending)) > 500);

  const json table = read_json(folder / kTable);
  const json& cell = table.at("rows")[1].at("cells")[0];
  const auto result = read_json(folder / kRun / "result.json");
  CHECK(cell.at("ours").at("values")[1] == table.at("runs")[3].at("valid").at("bpc"));
  CHECK(table.at("runs")[3].at("valid").at("loss") == result.at("valid").at("loss"));
  CHECK(cell.at("paper") == 1.141);
  CHECK(table.at("measured").at("runs")[0].at("peak_bytes") > 0);

  const std::string weights = read_text(folder / kRun / "latest/model.safetensors");
  const ProcessResult second = run_toy(folder, "table1", kTwoRouters);
  CHECK(second.out.find("nothing is left to train") != second.out.npos);
  CHECK(second.err.empty());
  CHECK(read_json(folder / kTable) == table);
  CHECK(read_text(folder / kRun / "latest/model.safetensors") == weights);
}

TEST_CASE("reproduce: the numbers are those of rmoe eval") {
  const TestFolder folder;
  make_toy(folder);
  run_toy(folder, "table1", {"--routers", "smoe", "--seeds", "1"});
  const json run = read_json(folder / kTable).at("runs")[0];
  for (const std::string split : {"valid", "test"}) {
    const ProcessResult eval =
        rmoe(folder.path(), {"eval", "runs/reproduce/toy-toy/smoe-seed1", "--split", split, "--json"});
    CHECK(json::parse(eval.out).at("loss") == run.at(split).at("loss"));
  }
}

TEST_CASE("reproduce: seeds are paired: the same text in the same order, other weights for another seed") {
  const TestFolder folder;
  make_toy(folder);
  run_toy(folder, "table1", {"--routers", "smoe,random", "--set", "optimizer.lr=1e-12"});
  const auto loss = [&](const std::string& run) {
    return std::stod(metric(folder / ("runs/reproduce/toy-toy/" + run), "loss").at(0));
  };
  CHECK(loss("smoe-seed1") == loss("random-seed1"));  // not trained, and initialised alike
  CHECK(loss("smoe-seed1") != loss("smoe-seed2"));
}

TEST_CASE("reproduce: interrupted at random moments, the table comes out the same") {
  const TestFolder folder;
  make_toy(folder);
  const auto with_out = [](const std::string& out) {
    return toy("table1", {"--routers", "smoe,rmoe", "--out", out, "--steps", "60"});
  };
  REQUIRE(rmoe(folder.path(), with_out("whole")).code == 0);
  int interruptions = 0;
  for (int i = 0; i < 4; ++i) {
    Process process(folder.path(), with_out("cut"));
    while (i == 0 && metric(folder / "cut/toy-toy/smoe-seed1", "loss").size() < 5) usleep(2000);
    usleep(int(uniform_at(5, getpid(), i) * 200'000));
    process.signal(SIGINT);
    const ProcessResult result = process.wait();
    if (result.code == 0) break;  // it was quicker
    CHECK_MESSAGE(result.code == 130, result.err);
    interruptions += result.out.find("the same command goes on") != result.out.npos;
  }
  REQUIRE(rmoe(folder.path(), with_out("cut")).code == 0);
  CHECK(interruptions > 0);
  CHECK(repeatable(folder / "cut/table1-toy.json") == repeatable(folder / "whole/table1-toy.json"));
}

TEST_CASE("reproduce: a result is kept until its checkpoint changes") {
  const TestFolder folder;
  make_toy(folder);
  run_toy(folder, "table1", kTwoRouters);
  const json table = read_json(folder / kTable), result = read_json(folder / kRun / "result.json");
  json forged = result;
  forged["valid"]["loss"] = 1;
  write_text(folder / kRun / "result.json", forged.dump());
  run_toy(folder, "table1", kTwoRouters);
  CHECK(read_json(folder / kTable).at("runs")[3].at("valid").at("loss") == 1);  // taken as it is
  forged["checkpoint"]["model"] = "another";
  write_text(folder / kRun / "result.json", forged.dump());
  run_toy(folder, "table1", kTwoRouters);
  CHECK(read_json(folder / kTable) == table);
  CHECK(read_json(folder / kRun / "result.json") == result);
}

TEST_CASE("reproduce: a run of other settings or another text is refused") {
  const TestFolder folder;
  make_toy(folder);
  run_toy(folder, "table1", kTwoRouters);
  const auto refused = [&](std::vector<std::string> extra, const std::string& part) {
    extra.insert(extra.end(), kTwoRouters.begin(), kTwoRouters.end());
    const ProcessResult result = rmoe(folder.path(), toy("table1", extra));
    CHECK(result.code == 1);
    CHECK_MESSAGE(result.err.find("toy-toy/smoe-seed1 was trained differently: " + part) != result.err.npos,
                  result.err);
    CHECK(result.err.find("choose another --out") != result.err.npos);
  };
  refused({"--steps", "14"}, "train.steps is 12, wanted 14;");
  refused({"--set", "model.experts=6", "--set", "optimizer.lr=1e-3"},
          "model.experts is 5, wanted 6, optimizer.lr is 0.003, wanted 0.001;");
  run_toy(folder, "table1", {"--routers", "smoe,rmoe", "--set", "train.log_every=3"});  // changes no result
  write_text(folder / "toy.txt", read_text(folder / "toy.txt") + "another line\n");
  refused({}, "its text is not toy.txt;");
}

TEST_CASE("reproduce: figures and analyses come with their tables, from the same runs") {
  const TestFolder folder;
  make_toy(folder);
  const std::vector<std::string> one_seed{"--routers", "smoe,rmoe", "--seeds", "1"};
  run_toy(folder, "table1", one_seed);
  const ProcessResult figure = run_toy(folder, "figure3", one_seed);
  CHECK(figure.out.find("0 to train, 2 trained") != figure.out.npos);
  const json cell = read_json(folder / "runs/reproduce/figure3-toy.json").at("rows")[1].at("cells")[0];
  CHECK(cell.at("ours").at("mean") > 0);
  CHECK(cell.at("paper") == std::vector<double>{0.88, 1.12});
  for (const std::string name : {"figure2", "figure4", "figure11", "figure12", "figure13"}) {
    CAPTURE(name);
    run_toy(folder, name, one_seed);
    CHECK(read_text(folder / ("runs/reproduce/" + name + "-toy.html")).find("<svg") != std::string::npos);
  }
  for (const char* name : {"table8", "table11"}) {
    CAPTURE(name);
    run_toy(folder, name, one_seed);
    for (const json& cell :
         read_json(folder / (std::string("runs/reproduce/") + name + "-toy.json")).at("rows")[0].at("cells"))
      CHECK(cell.at("ours").at("mean") > 0);
  }
}

TEST_CASE("reproduce: a text of words fills the columns of WikiText-103 with perplexities") {
  const TestFolder folder;
  make_toy(folder);
  const ProcessResult result =
      run_toy(folder, "table1", {"--routers", "smoe", "--seeds", "1", "--set", "data.tokens=word"});
  CHECK(result.out.find("| router | paper: enwik8 val | paper: enwik8 test | toy val PPL |") !=
        result.out.npos);
}

TEST_CASE("reproduce: every small and medium run of a table has a folder of its own") {
  const TestFolder folder;
  make_toy(folder);
  run_toy(folder, "table4", {"--routers", "smoe", "--seeds", "1"});
  for (const char* run : {"smoe-seed1", "smoe-small-seed1"})
    CHECK(fs::exists(folder / "runs/reproduce/toy-toy" / run / "result.json"));
}

TEST_CASE("reproduce: a dry run says what it would cost and writes nothing") {
  const TestFolder folder;
  make_toy(folder);
  const ProcessResult result = run_toy(folder, "table1", {"--dry-run"});
  for (const char* part : {"14 to train, 0 trained", "time ", "memory ", "disk "})
    CHECK_MESSAGE(result.out.find(part) != result.out.npos, result.out);
  CHECK(!fs::exists(folder / "runs"));
}

TEST_CASE("reproduce: mistakes before a run starts") {
  const TestFolder folder;
  make_toy(folder);
  const auto check = [&](const std::vector<std::string>& args, int code, const std::string& part) {
    const ProcessResult result = rmoe(folder.path(), args);
    CHECK(result.code == code);
    CHECK_MESSAGE(result.err.find(part) != result.err.npos, result.err);
  };
  check(toy("tabel1"), 2, "there is no table \"tabel1\"");
  check(toy("table1", {"--routers", "smoe,rmeo"}), 2, "table1 has no router \"rmeo\"; it has smoe, hyper");
  check(toy("table1", {"--scale", "huge"}), 2, "there are tiny, small, paper");
  check(toy("table1", {"--set", "router.name=smoe"}), 2, "use --routers");
  check(toy("table1", {"--set", "model.hiden=8"}), 2, "model.hidden");
  check(toy("table1", {"--data", "corpora/enwik8"}), 1, "\"rmoe data get enwik8\"");
  CHECK(rmoe(folder.path(), {"reproduce"}).out.find("figure13") != std::string::npos);
  CHECK(rmoe(folder.path(), {"reproduce", "list"}).out.find("table11") != std::string::npos);
}

}  // namespace rmoe::test
