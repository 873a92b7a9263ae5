// The command line is a contract: what it prints, writes and returns, and the one line each mistake gets.
#include "tests/op_case.hpp"
#include "tests/toy_run.hpp"
#include "train/config.hpp"
#include "train/safetensors.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

struct Mistake {
  std::vector<std::string> args;
  int code;
  std::string message;  // part of the one line on stderr
};

std::string golden(const std::string& name) {
  return (fs::path(RMOE_SOURCE_DIR) / "tests/golden" / name).string();
}

void check_mistake(const TestFolder& folder, const Mistake& m) {
  std::string line = "rmoe";
  for (const std::string& a : m.args) line += " " + a;
  CAPTURE(line);
  const ProcessResult result = rmoe(folder.path(), m.args);
  CHECK(result.code == m.code);
  CHECK_MESSAGE(result.err.find(m.message) != result.err.npos, result.err);
}

nlohmann::json json_of(const TestFolder& folder, const std::vector<std::string>& args) {
  const ProcessResult result = rmoe(folder.path(), args);
  REQUIRE_MESSAGE(result.code == 0, result.err);
  return nlohmann::json::parse(result.out);
}

}  // namespace

TEST_CASE("cli: mistakes before a run starts") {
  const TestFolder folder;
  make_toy(folder);
  write_text(folder / "empty.txt", "");
  write_text(folder / "not-a-folder", "x");
  for (const Mistake& m :
       std::vector<Mistake>{{{}, 2, "SUBCOMMAND"},
                            {{"trian"}, 2, "trian"},
                            {{"train", "none.toml"}, 1, "none.toml"},
                            {train_toy("r", {"--set", "model.hiden=24"}), 2, "model.hidden"},
                            {train_toy("r", {"--set", "train.steps=many"}), 2, "train.steps"},
                            {train_toy("r", {"--set", "model.top_k=6"}), 2, "top_k"},
                            {train_toy("r", {"--set", "model.heads=5"}), 2, "heads"},
                            {train_toy("r", {"--router", "rmeo"}), 2, "rmoe"},
                            {train_toy("r", {"--set", "data.path=none"}), 1, "rmoe data get kjv"},
                            {train_toy("r", {"--set", "data.path=empty.txt"}), 1, "empty"},
                            {train_toy("r", {"--set", "train.block=40000"}), 1, "use fewer streams"},
                            {train_toy("r", {"--device", "cuda"}), 2, "; use --device cpu"},
                            {train_toy("r", {"--threads", "0"}), 2, "--threads"},
                            {train_toy("not-a-folder/run"), 1, "not-a-folder"},
                            {{"eval", "no-run"}, 1, "no-run"},
                            {{"data", "get", "enwik9"}, 2, "enwik8"}})
    check_mistake(folder, m);
}

TEST_CASE("cli: several mistakes in a config come out together") {
  const TestFolder folder;
  make_toy(folder);
  const ProcessResult result =
      rmoe(folder.path(),
           train_toy("r", {"--set", "model.hiden=2", "--set", "model.top_k=9", "--set", "train.steps=x"}));
  CHECK(result.code == 2);
  for (const char* part : {"hiden", "top_k", "train.steps"})
    CHECK_MESSAGE(result.err.find(part) != result.err.npos, result.err);
}

TEST_CASE("cli: a checkpoint of another shape lists every offender") {
  const TestFolder folder;
  make_toy(folder);
  REQUIRE(rmoe(folder.path(), train_toy("r", {"--steps", "1"})).code == 0);
  check_mistake(folder, {train_toy("r", {"--steps", "2"}), 1, "add --resume"});
  for (const char* part :
       {"layers.0.moe.experts.w1 has shape [5,20,24], wanted [5,22,24]", "layers.1.moe.experts.b1"})
    check_mistake(folder,
                  {train_toy("r", {"--steps", "2", "--resume", "--set", "model.expert_hidden=22"}), 1, part});
  write_text(folder / "other.txt", read_text(folder / "toy.txt") + "another line\n");
  check_mistake(folder, {train_toy("r", {"--steps", "2", "--resume", "--set", "data.path=other.txt"}), 1,
                         "not the data"});
  check_mistake(folder, {train_toy("s", {"--init", "r/latest/optimizer.safetensors"}), 1, "is missing"});
}

TEST_CASE("cli: a full disk is one line") {
  const TestFolder folder;
  check_mistake(folder, {{"trace", golden("lm-smoe.toml"), "--tokens", golden("lm-smoe.tokens.safetensors"),
                          "--out", "/dev/full"},
                         1,
                         "/dev/full"});
}

TEST_CASE("cli: training that blows up stops with the name of a tensor, and what was saved stays") {
  const TestFolder folder;
  make_toy(folder);
  REQUIRE(rmoe(folder.path(), train_toy("r", {"--steps", "2"})).code == 0);
  const ProcessResult result =
      rmoe(folder.path(),
           train_toy("r", {"--resume", "--set", "optimizer.lr=1e30", "--set", "optimizer.warmup=0"}));
  CHECK(result.code == 1);
  CHECK_MESSAGE(result.err.find("is not finite") != result.err.npos, result.err);
  CHECK(fs::read_symlink(folder / "r/latest").filename() == "step-2");
}

TEST_CASE("cli: the loss of ten training steps is what it was") {
  const TestFolder folder;
  make_toy(folder);
  const std::vector<std::pair<std::string, std::vector<double>>> pinned = {
      {"smoe",
       {3.2982429, 3.3542057, 3.3320311, 3.2244163, 3.1507795, 3.1173393, 3.1324745, 2.8734303, 2.9181143,
        2.8853424}},
      {"rmoe",
       {3.2980883, 3.3548613, 3.3323067, 3.2251579, 3.1516731, 3.1183982, 3.1358491, 2.8773375, 2.9229962,
        2.8917186}}};
  for (const auto& [router, losses] : pinned) {
    CAPTURE(router);
    REQUIRE(rmoe(folder.path(), train_toy(router, {"--steps", "10", "--router", router})).code == 0);
    const auto got = metric(folder / router, "loss");
    REQUIRE(got.size() == losses.size());
    for (size_t i = 0; i < got.size(); ++i)
      CHECK(std::stod(got[i]) == doctest::Approx(losses[i]).epsilon(1e-6));
  }
}

TEST_CASE("cli: info counts what the paper counts, less its unused norms") {
  const TestFolder folder;
  const auto total = [&](const std::string& config, const std::string& router) {
    const auto json =
        json_of(folder, {"info", (fs::path(RMOE_SOURCE_DIR) / "train/configs" / config).string(), "--router",
                         router, "--json"});
    CHECK(json.at("flops_per_token").get<double>() > 0);
    CHECK(json.at("memory_bytes").at("peak").get<int64_t>() >
          json.at("memory_bytes").at("parameters").get<int64_t>());
    return json.at("parameters").at("total").get<int64_t>();
  };
  CHECK(total("enwik8-medium.toml", "smoe") == 36'071'181);
  CHECK(total("enwik8-medium.toml", "rmoe") == 36'502'029);
  CHECK(total("enwik8-small.toml", "smoe") == 15'315'997);
  CHECK(total("enwik8-small.toml", "rmoe") == 15'604'765);
}

TEST_CASE("cli: plan spreads experts as the config does, if it is not told how") {
  const TestFolder folder;
  const auto groups = [&](std::vector<std::string> args) {
    const std::string config = (fs::path(RMOE_SOURCE_DIR) / "train/configs/deepseek-15b.toml").string();
    args.insert(args.begin(), {"plan", config, "--gpus", "40", "--zero", "1", "--json"});
    return json_of(folder, args)["expert_parallel"];
  };
  CHECK(groups({}) == 10);
  CHECK(groups({"--set", "train.expert_parallel=5"}) == 5);
  CHECK(groups({"--expert-parallel", "20"}) == 20);
}

TEST_CASE("cli: eval, sample and the written files") {
  const TestFolder folder;
  make_toy(folder);
  REQUIRE(rmoe(folder.path(), train_toy("r")).code == 0);
  const auto eval = json_of(folder, {"eval", "r", "--split", "valid", "--json"});
  CHECK(eval.at("split") == "valid");
  CHECK(eval.at("bpc").get<double>() == doctest::Approx(eval.at("loss").get<double>() / std::log(2.0)));
  CHECK(eval.at("ppl").get<double>() == doctest::Approx(std::exp(eval.at("loss").get<double>())));
  CHECK(eval.at("tokens").get<int64_t>() > 0);
  CHECK(eval.at("protocol") == "original");
  const auto exact = json_of(folder, {"eval", "r", "--split", "valid", "--exact", "--json"});
  CHECK(exact.at("protocol") == "exact");
  CHECK(exact.at("tokens").get<int64_t>() > eval.at("tokens").get<int64_t>());
  CHECK(exact.at("loss").get<double>() == doctest::Approx(eval.at("loss").get<double>()).epsilon(0.02));

  const std::vector<std::string> sample = {"sample",   "r",  "--prompt", "the ",
                                           "--tokens", "40", "--seed",   "3"};
  const ProcessResult text = rmoe(folder.path(), sample);
  CHECK(text.code == 0);
  CHECK(text.out.starts_with("the "));
  CHECK(text.out.size() == 4 + 40 + 1);
  CHECK(rmoe(folder.path(), sample).out == text.out);
  check_mistake(folder, {{"sample", "r", "--prompt", "Q"}, 1, "unknown byte 0x51"});

  for (const char* file :
       {"r/config.toml", "r/metrics.jsonl", "r/latest/state.json", "r/best/model.safetensors"})
    CHECK_MESSAGE(fs::exists(folder / file), file);
  const bool events = std::any_of(
      fs::directory_iterator(folder / "r"), fs::directory_iterator(),
      [](const auto& f) { return f.path().filename().string().find("tfevents") != std::string::npos; });
  CHECK(events);
  CHECK(rmoe(folder.path(), {"train", "r/config.toml", "--run", "again"}).code == 0);
  CHECK(metric(folder / "again", "loss") == metric(folder / "r", "loss"));
}

TEST_CASE("cli: trace writes the golden numbers") {
  const TestFolder folder;
  for (const std::string name : {"lm-rmoe", "llama-smoe"}) {
    const ProcessResult result = rmoe(
        folder.path(), {"trace", golden(name + ".toml"), "--weights", golden(name + ".weights.safetensors"),
                        "--tokens", golden(name + ".tokens.safetensors"), "--out", "trace.safetensors"});
    REQUIRE_MESSAGE(result.code == 0, result.err);
    const auto got = read_safetensors(folder / "trace.safetensors").tensors;
    const auto wanted = read_safetensors(golden(name + ".trace.safetensors")).tensors;
    REQUIRE(got.size() == wanted.size());
    for (const NamedTensor& w : wanted) {
      const auto g =
          std::find_if(got.begin(), got.end(), [&](const NamedTensor& t) { return t.name == w.name; });
      REQUIRE_MESSAGE(g != got.end(), w.name);
      const Array x = to_array(g->tensor), y = to_array(w.tensor);
      REQUIRE(x.shape == y.shape);
      double scale = 1e-3, error = 0;
      for (size_t i = 0; i < x.data.size(); ++i) {
        scale = std::max(scale, std::fabs(y.data[i]));
        error = std::max(error, std::fabs(x.data[i] - y.data[i]));
      }
      CHECK_MESSAGE(error / scale < 3e-5, name, ": ", w.name);
    }
  }
}

TEST_CASE("cli: the documented options are the real ones") {
  const std::string page = read_text(fs::path(RMOE_SOURCE_DIR) / "train/configs/README.md");
  CHECK_MESSAGE(page.find(option_table()) != page.npos, "train/configs/README.md should hold:\n",
                option_table());
}

TEST_CASE("cli: help and version") {
  const TestFolder folder;
  CHECK(rmoe(folder.path(), {"--version"}).out.starts_with("rmoe "));
  for (const char* command : {"train", "eval", "sample", "info", "data", "tokenizer", "trace", "analyze",
                              "reproduce", "bench", "serve", "export", "import", "plan"}) {
    const ProcessResult result = rmoe(folder.path(), {command, "--help"});
    CHECK(result.code == 0);
    CHECK(result.out.find(command) != std::string::npos);
  }
}

}  // namespace rmoe::test
