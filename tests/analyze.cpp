// `rmoe analyze` and the analyses of a training run, as a user sees them.
#include "tests/op_case.hpp"
#include "tests/toy_run.hpp"

#include <chrono>
#include <csignal>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kLayers = 2, kExperts = 5;  // of the toy

void train(const TestFolder& folder, const std::string& run, std::vector<std::string> extra) {
  const ProcessResult result = rmoe(folder.path(), train_toy(run, std::move(extra)));
  REQUIRE_MESSAGE(result.code == 0, result.err);
}

/// One object per line.
std::vector<json> analyses(const TestFolder& folder, std::vector<std::string> args) {
  args.insert(args.begin(), "analyze");
  args.push_back("--json");
  const ProcessResult result = rmoe(folder.path(), args);
  REQUIRE_MESSAGE(result.code == 0, result.err);
  std::istringstream lines(result.out);
  std::vector<json> objects;
  for (std::string line; std::getline(lines, line);) objects.push_back(json::parse(line));
  return objects;
}

void check_mistake(const TestFolder& folder, std::vector<std::string> args, int code,
                   const std::string& message) {
  args.insert(args.begin(), "analyze");
  const ProcessResult result = rmoe(folder.path(), args);
  CHECK(result.code == code);
  CHECK_MESSAGE(result.err.find(message) != result.err.npos, result.err);
}

void check_per_layer(const json& values) {
  REQUIRE(values.size() == kLayers);
  for (const json& value : values) CHECK(value.is_number());
}

void check_shape(const json& a) {
  REQUIRE(a.at("mutual_information").size() == kLayers);
  for (size_t i = 0; i < kLayers; ++i) CHECK(a.at("mutual_information")[i].size() == i);
  CHECK(a.at("mutual_information")[1][0] == a.at("mean_mutual_information"));
  for (const char* key : {"mean", "stddev"}) check_per_layer(a.at("gate_entropy").at(key));
  for (const json& row : a.at("gate_entropy").at("histogram")) {
    double sum = 0;
    for (const double share : row) sum += share;
    CHECK(sum == doctest::Approx(1));
  }
  CHECK(a.at("balance").at("inner").get<double>() >= 1);
  CHECK(a.at("balance").at("outer").get<double>() <= 1);
  for (const char* key : {"inner_per_layer", "outer_per_layer"}) check_per_layer(a.at("balance").at(key));
  CHECK(a.at("expert_similarity").at("parts") == 2);
  check_per_layer(a.at("expert_similarity").at("per_layer"));
  for (const char* key : {"norm", "stddev"}) check_per_layer(a.at("router_weights").at(key));
  REQUIRE(a.at("expert_frequency").size() == kLayers);
  CHECK(a.at("expert_frequency")[0].size() == kExperts);
  for (const char* key : {"total", "lm", "balance"}) {
    CHECK(a.at("router_gradients").at(key).get<double>() > 0);
    CHECK(a.at("router_gradients").at("per_layer")[1].at(key).get<double>() > 0);
  }
}

}  // namespace

TEST_CASE("analyze: numbers and a report of several runs") {
  const TestFolder folder;
  make_toy(folder);
  train(folder, "plain", {"--router", "smoe"});
  train(folder, "recurrent", {"--router", "rmoe"});
  const auto objects =
      analyses(folder, {"plain", "recurrent", "--split", "valid", "--out", "sub/report.html"});
  REQUIRE(objects.size() == 2);
  for (const json& a : objects) check_shape(a);
  CHECK(objects[0].at("run") == "plain");
  CHECK(objects[0].at("router") == "smoe");
  CHECK(objects[1].at("router") == "rmoe");
  CHECK(objects[1].at("split") == "valid");
  CHECK(objects[1].at("step").get<int64_t>() > 0);

  const std::string page = read_text(folder / "sub/report.html");
  CHECK(page.starts_with("<!DOCTYPE html>"));
  for (const char* part : {"plain", "recurrent", "34.68", "0.88–1.12", "Mutual information", "<svg"})
    CHECK_MESSAGE(page.find(part) != page.npos, part);
  for (const char* outside : {"src=", "href=", "<script", "@import", "url("})
    CHECK_MESSAGE(page.find(outside) == page.npos, outside);

  // The same numbers at any thread count, and of the data wherever it lies.
  fs::rename(folder / "toy.txt", folder / "moved.txt");
  const std::vector<std::string> moved{"plain", "--split", "valid", "--data", "moved.txt"};
  for (const char* threads : {"1", "3"}) {
    auto args = moved;
    args.insert(args.end(), {"--threads", threads});
    CHECK(analyses(folder, args)[0] == objects[0]);
  }
  auto fewer = moved;
  fewer.insert(fewer.end(), {"--blocks", "3", "--gradient-blocks", "2"});
  const json few = analyses(folder, fewer)[0];
  CHECK(few.at("tokens") == 3 * 2 * 16);
  CHECK(few.at("router_gradients").at("blocks") == 2);
  const ProcessResult text = rmoe(folder.path(), {"analyze", "plain", "--data", "moved.txt"});
  CHECK(text.code == 0);
  CHECK(text.out.find("smoe") != text.out.npos);
}

TEST_CASE("analyze: wrong usage is one line, before any work") {
  const TestFolder folder;
  make_toy(folder);
  train(folder, "good", {"--steps", "1"});
  write_text(folder / "other.txt", read_text(folder / "toy.txt") + "another line\n");
  train(folder, "elsewhere", {"--steps", "1", "--set", "data.path=other.txt"});
  train(folder, "dense", {"--steps", "1", "--router", "dense", "--set", "model.kind=llama"});
  train(folder, "single", {"--steps", "1", "--set", "model.experts=1", "--set", "model.top_k=1"});
  check_mistake(folder, {"good", "--split", "vaild"}, 2, "--split");
  check_mistake(folder, {}, 2, "RUN");
  check_mistake(folder, {"good", "--blocks", "0"}, 2, "--blocks");
  check_mistake(folder, {"good", "no-run"}, 1, "no-run");
  check_mistake(folder, {"good", "dense"}, 1, "analyze: dense has router \"dense\"");
  check_mistake(folder, {"single"}, 1, "1 experts per layer");
  check_mistake(folder, {"good", "--data", "other.txt"}, 1, "is not the data");
  check_mistake(folder, {"good", "elsewhere", "--data", "toy.txt"}, 1, "--data PATH");
  check_mistake(folder, {"good", "--data", "none"}, 1, "none");
  check_mistake(folder, {"good", "--out", "toy.txt/report.html"}, 1, "toy.txt");
  check_mistake(folder, {"good", "--device", "cuda"}, 2, "runs on the CPU only");
}

TEST_CASE("analyze: a signal ends it with 130 and without a report") {
  const TestFolder folder;
  make_toy(folder);
  train(folder, "r", {"--steps", "1", "--set", "data.test_share=0.8"});
  std::vector<std::string> args{"analyze", "--gradient-blocks", "10000", "--out", "report.html"};
  args.insert(args.end(), 60, "r");  // minutes of work
  Process process(folder.path(), args);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  process.signal(SIGTERM);
  const ProcessResult result = process.wait();
  CHECK_MESSAGE(result.code == 130, result.err);
  CHECK(result.out.empty());
  CHECK_FALSE(fs::exists(folder / "report.html"));
}

TEST_CASE("train: analyses go to metrics.jsonl, and change nothing") {
  const TestFolder folder;
  make_toy(folder);
  train(folder, "with", {"--steps", "10", "--set", "train.analyze_every=4"});
  train(folder, "without", {"--steps", "10", "--set", "train.analyze_every=0"});
  CHECK(metric(folder / "with", "loss") == metric(folder / "without", "loss"));
  CHECK(metric(folder / "without", "mutual_information").empty());
  std::istringstream lines(read_text(folder / "with/metrics.jsonl"));
  std::vector<int64_t> steps;
  for (std::string line; std::getline(lines, line);) {
    const json object = json::parse(line);
    if (!object.contains("mutual_information")) continue;
    steps.push_back(object.at("step"));
    CHECK(object.at("router_grad_norm").get<double>() > 0);
    for (const char* key : {"gate_entropy", "inner_balance", "outer_balance", "expert_share",
                            "router_weight_norm", "expert_similarity"})
      check_per_layer(object.at(key));
  }
  CHECK(steps == std::vector<int64_t>{4, 8});
  train(folder, "dense",
        {"--steps", "4", "--router", "dense", "--set", "model.kind=llama", "--set", "train.analyze_every=2"});
  CHECK(metric(folder / "dense", "mutual_information").empty());
}

}  // namespace rmoe::test
