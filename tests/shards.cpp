// `rmoe data prepare` and training on what it makes, with the real binary.
#include "data/shards/test_shards.hpp"
#include "engine/random.hpp"
#include "tests/toy_run.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <map>
#include <signal.h>
#include <unistd.h>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

/// JSON lines of random words; `seed` makes other ones.
std::string json_lines(int documents, uint64_t seed) {
  std::string lines;
  for (int d = 0; d < documents; ++d) {
    lines += "{\"text\":\"";
    for (int w = 0; w < 30; ++w) lines += concat("word", philox(seed, uint64_t(d), uint64_t(w))[0] % 50, " ");
    lines += "\"}\n";
  }
  return lines;
}

std::vector<std::string> prepare(const std::string& out, const std::string& input,
                                 std::vector<std::string> extra = {}) {
  std::vector<std::string> args{"data",  "prepare", "--tokenizer", "byte",
                                "--out", out,       "--split",     "valid=0.1"};
  args.insert(args.end(), extra.begin(), extra.end());
  args.push_back(input);
  return args;
}

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = files::read(entry.path());
  return files;
}

const std::vector<std::string> kLlama{"--set", "model.kind=llama", "--set", "data.path=a:0.7, b:0.3"};

std::vector<std::string> train(const std::string& run, std::vector<std::string> extra = {}) {
  extra.insert(extra.end(), kLlama.begin(), kLlama.end());
  return train_toy(run, extra);
}

void make_mixture(const TestFolder& folder) {
  make_toy(folder);
  folder.write("a.jsonl", json_lines(40, 1));
  folder.write("b.jsonl", json_lines(30, 2));
  for (const std::string name : {"a", "b"}) {
    const ProcessResult result = rmoe(folder.path(), prepare(name, name + ".jsonl", {"--split", "test=0.2"}));
    REQUIRE_MESSAGE(result.code == 0, result.err);
  }
}

}  // namespace

TEST_CASE("shards: a killed data prepare ends, started again, with the bytes of one that was not") {
  const TestFolder folder;
  folder.write("in.jsonl", json_lines(40'000, 3));
  const std::vector<std::string> options{"--shard-tokens", "300000"};
  const ProcessResult whole = rmoe(folder.path(), prepare("whole", "in.jsonl", options));
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  CHECK(whole.out.find("data.path = \"whole\"") != whole.out.npos);
  for (int i = 0; i < 6; ++i) {
    Process process(folder.path(), prepare("killed", "in.jsonl", options));
    usleep(20'000 + int(uniform_at(3, 5, uint64_t(i)) * 150'000));
    process.signal(SIGKILL);
    process.wait();
  }
  REQUIRE(rmoe(folder.path(), prepare("killed", "in.jsonl", options)).code == 0);
  CHECK(contents(folder / "killed") == contents(folder / "whole"));
  CHECK(rmoe(folder.path(), prepare("whole", "in.jsonl", options))
            .out.starts_with("nothing to do: whole is finished"));
  const ProcessResult stat = rmoe(folder.path(), {"data", "stat", "whole", "--verify"});
  CHECK(stat.code == 0);
  CHECK(stat.out.find("all shards are intact") != stat.out.npos);
}

TEST_CASE("shards: Ctrl-C ends data prepare with 130 and nothing is lost") {
  const TestFolder folder;
  folder.write("in.jsonl", json_lines(150'000, 4));
  Process process(folder.path(), prepare("out", "in.jsonl"));
  while (!fs::exists(folder / "out/manifest.json")) usleep(1000);
  process.signal(SIGINT);
  const ProcessResult stopped = process.wait();
  CHECK(stopped.code == 130);
  CHECK(stopped.out == "stopped and saved; the same command goes on\n");
  CHECK(rmoe(folder.path(), prepare("out", "in.jsonl")).code == 0);
}

TEST_CASE("shards: training on a mixture resumes exactly in the middle of an epoch") {
  const TestFolder folder(quick_place());
  make_mixture(folder);
  const auto go = [&](const std::string& run, std::vector<std::string> extra) {
    const ProcessResult result = rmoe(folder.path(), train(run, extra));
    REQUIRE_MESSAGE(result.code == 0, result.err);
  };
  go("whole", {});
  go("parts", {"--steps", "7"});
  go("parts", {"--steps", "13", "--resume"});
  go("parts", {"--resume"});
  CHECK(metric(folder / "whole", "loss").size() == 20);
  CHECK(metric(folder / "whole", "loss") == metric(folder / "parts", "loss"));
  CHECK(read_text(folder / "whole/latest/model.safetensors") ==
        read_text(folder / "parts/latest/model.safetensors"));
  CHECK(read_text(folder / "whole/latest/state.json").find("\"samples\"") != std::string::npos);
  go("three-threads", {"--threads", "3"});
  CHECK(metric(folder / "whole", "loss") == metric(folder / "three-threads", "loss"));

  const ProcessResult other =
      rmoe(folder.path(), train_toy("whole", {"--resume", "--steps", "25", "--set", "model.kind=llama",
                                              "--set", "data.path=a:0.5, b:0.5"}));
  CHECK(other.code == 1);
  CHECK_MESSAGE(other.err.find("is not the data whole was trained on") != other.err.npos, other.err);
  for (const char* split : {"valid", "test"}) {
    const ProcessResult eval = rmoe(folder.path(), {"eval", "whole", "--split", split, "--json"});
    CHECK_MESSAGE(eval.code == 0, eval.err);
  }
  CHECK(rmoe(folder.path(), {"sample", "whole", "--prompt", "word1", "--tokens", "5"}).code == 0);
  CHECK(rmoe(folder.path(), {"analyze", "whole"}).code == 0);
}

TEST_CASE("shards: info takes the vocabulary from a prepared folder, stat describes it") {
  const TestFolder folder(quick_place());
  make_mixture(folder);
  std::vector<std::string> args{"info", "toy.toml"};
  args.insert(args.end(), kLlama.begin(), kLlama.end());
  const ProcessResult info = rmoe(folder.path(), args);
  CHECK_MESSAGE(info.code == 0, info.err);
  CHECK(info.out.find("vocabulary 257") != info.out.npos);
  const ProcessResult stat = rmoe(folder.path(), {"data", "stat", "a"});
  CHECK(stat.out.starts_with("a: tokenizer vocabulary.json, 257 tokens, sha256 "));
}

TEST_CASE("shards: nanoGPT's and llm.c's folders train once their tokenizer is named") {
  const TestFolder folder(quick_place());
  make_toy(folder);
  make_mixture(folder);
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < 3000; ++i) tokens.push_back(i * i % 250);
  folder.write("nano/train.bin", bytes_of(std::vector<uint16_t>(tokens.begin(), tokens.end())));
  folder.write("nano/val.bin", bytes_of(std::vector<uint16_t>(tokens.begin(), tokens.begin() + 500)));
  folder.write("llmc/fine_train_000001.bin", llm_c_bytes(20240520, 1, tokens));
  folder.write("llmc/fine_train_000002.bin", llm_c_bytes(20240801, 7, tokens));
  folder.write("llmc/fine_val_000000.bin", llm_c_bytes(20240520, 1, tokens));
  for (const std::string name : {"nano", "llmc"}) {
    const std::vector<std::string> options{
        "--set", "model.kind=llama", "--set", "data.path=" + name, "--steps", "2"};
    const ProcessResult refused = rmoe(folder.path(), train_toy(name + "-run", options));
    CHECK(refused.code == 1);
    CHECK_MESSAGE(
        refused.err.starts_with("rmoe: data: " + name + " has shards but no tokenizer: set data.tokens"),
        refused.err);
    auto named = options;
    named.insert(named.end(), {"--set", "data.tokens=a"});
    const ProcessResult result = rmoe(folder.path(), train_toy(name + "-run", named));
    CHECK_MESSAGE(result.code == 0, result.err);
  }
}

TEST_CASE("shards: mistakes are one line and the right exit code") {
  const TestFolder folder(quick_place());
  make_mixture(folder);
  const auto error = [&](const std::vector<std::string>& args, int code) {
    const ProcessResult result = rmoe(folder.path(), args);
    CHECK_MESSAGE(result.code == code, result.err);
    CHECK(std::ranges::count(result.err, '\n') == 1);
    return result.err;
  };
  const auto with_path = [](const std::string& path) {
    return train_toy("run", {"--set", "data.path=" + path});
  };
  CHECK(error(with_path("a:0.7, b"), 2) ==
        "rmoe: data.path = \"a:0.7, b\": wanted folders with weights, \"DIR:WEIGHT, DIR:WEIGHT\"\n");
  CHECK(error(with_path("a:0.7, b:0"), 2) == "rmoe: data.path: the weight of b is 0, wanted more than 0\n");
  CHECK(error(with_path("a:1, none:1"), 1) ==
        "rmoe: data: none does not exist: \"rmoe data prepare\" makes one\n");
  CHECK(error(prepare("out", "none.txt"), 1) == "rmoe: data: no file or folder none.txt\n");
  CHECK(error(prepare("out", "a.jsonl", {"--split", "train=0.5"}), 2) ==
        "rmoe: --split train=0.5: wanted valid=SHARE or test=SHARE with a share from 0 to below 1\n");
  CHECK(error(prepare("a.jsonl", "b.jsonl"), 1).starts_with("rmoe: cannot make the folder a.jsonl: "));
  folder.write("other/vocabulary.json", R"({"tokens":"byte","newline":"byte","symbols":[97,98,"<eos>"]})");
  folder.write("c.jsonl", "{\"text\":\"abba\"}\n{\"text\":\"baab\"}\n");
  REQUIRE(rmoe(folder.path(),
               {"data", "prepare", "--tokenizer", "other", "--out", "c", "--split", "valid=0", "c.jsonl"})
              .code == 0);
  CHECK(error(with_path("a:1, c:1"), 1) ==
        "rmoe: data: c has another tokenizer than a: a mixture needs one for all\n");
  CHECK(error(with_path("c"), 1).starts_with("rmoe: data: c has no validation tokens: "));
  CHECK(error(train_toy("early", {"--set", "data.path=a", "--set", "train.eval_streams=900"}), 1)
            .starts_with("rmoe: data: 900 streams with a block of 16 "));
  CHECK(metric(folder / "early", "loss").empty());
  fs::resize_file(folder / "a/train-00000.bin", 2000);
  CHECK(error(with_path("a"), 1).find("a/train-00000.bin is cut off: 2000 bytes, wanted ") !=
        std::string::npos);
}

}  // namespace rmoe::test
