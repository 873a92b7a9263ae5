#include "train/config.hpp"

#include "engine/error.hpp"
#include "tests/fuzz.hpp"
#include "tests/op_case.hpp"

#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <random>

namespace rmoe::test {
namespace {

std::string problems_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse_config(text, "x.toml", overrides);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

std::string refused(const std::string& override) { return problems_of("", {override}); }

}  // namespace

TEST_CASE("config: defaults are the paper's medium model on enwik8") {
  Config defaults;
  defaults.model.vocab = 205;
  Config file = load_config(RMOE_SOURCE_DIR "/train/configs/enwik8-medium.toml");
  CHECK(file.data.path == "corpora/enwik8");
  file.data.path.clear();
  CHECK(to_toml(file) == to_toml(defaults));
}

TEST_CASE("config: values come from the file, then from --set") {
  const Config config = parse_config(
      "[model]\nlayers = 2\ndropout = 0\n[router]\nname = \"smoe\"\n[data]\npath = \"a b\"\n", "x.toml",
      {"model.layers=3", "optimizer.lr=1", "model.recompute=true", "data.path=c=\"d\"",
       "data.tokens=\"word\""});
  CHECK(config.model.layers == 3);
  CHECK(config.model.dropout == 0);
  CHECK(config.router.name == "smoe");
  CHECK(config.optimizer.lr == 1);
  CHECK(config.model.recompute);
  CHECK(config.data.path == "c=\"d\"");
  CHECK(config.data.tokens == "word");
}

TEST_CASE("config: printing gives back the same bits") {
  std::mt19937_64 bits(1);
  for (int i = 0; i < 2000; ++i) {
    Config config;
    config.data.path = "quote \" back \\ line \n tab \t bell \a ü";
    config.train.seed = int64_t(bits() >> 1);
    config.optimizer.lr = std::abs(std::bit_cast<double>(bits()));
    if (!std::isfinite(config.optimizer.lr) || config.optimizer.lr == 0) continue;
    const Config back = parse_config(to_toml(config), "copy");
    REQUIRE(std::bit_cast<uint64_t>(back.optimizer.lr) == std::bit_cast<uint64_t>(config.optimizer.lr));
    REQUIRE(back.train.seed == config.train.seed);
    REQUIRE(back.data.path == config.data.path);
  }
}

TEST_CASE("config: all mistakes are reported at once, each with its line") {
  CHECK(problems_of(R"([model]
hiden = 3
layers = "eight"
top_k = 20
dropout = 1.0

[modle]
layers = 2

[optimizer]
schedule = "linear"
beta2 = true
)",
                    {"train.stepz=1", "train.steps=ten", "nonsense"}) ==
        "x.toml:2: unknown key model.hiden; did you mean model.hidden?\n"
        "x.toml:3: model.layers: wanted a whole number, got 'eight'\n"
        "x.toml:7: unknown section modle; did you mean [model]?\n"
        "x.toml:12: optimizer.beta2: wanted a number, got true\n"
        "--set train.stepz=1: unknown key train.stepz; did you mean train.steps?\n"
        "--set train.steps=ten: train.steps: wanted a whole number, got 'ten'\n"
        "--set nonsense: wanted SECTION.NAME=VALUE\n"
        "x.toml:5: model.dropout: wanted a number in [0, 1), got 1.0\n"
        "x.toml:11: optimizer.schedule: wanted one of \"constant\", \"cosine\", got \"linear\"\n"
        "x.toml:4: model.top_k: wanted at most model.experts = 16, got 20");
}

TEST_CASE("config: an unknown key names the nearest one, wherever it is") {
  CHECK(refused("model.lr=1") == "--set model.lr=1: unknown key model.lr; did you mean optimizer.lr?");
  CHECK(refused("train.nam=1") == "--set train.nam=1: unknown key train.nam; did you mean router.name?");
  CHECK(refused("optmizer.lr=1") ==
        "--set optmizer.lr=1: unknown section optmizer; did you mean [optimizer]?");
  CHECK(problems_of("layers = 3") == "x.toml:1: unknown key layers; did you mean model.layers?");
  CHECK(problems_of("model = 3") == "x.toml:1: model: wanted a section [model], got 3");
}

TEST_CASE("config: wrong types say what was wanted and what came") {
  CHECK(problems_of("[model]\nlayers = 2.5").ends_with("model.layers: wanted a whole number, got 2.5"));
  CHECK(problems_of("[model]\nlayers = [1]").ends_with("model.layers: wanted a whole number, got a list"));
  CHECK(problems_of("[model.layers]").ends_with("model.layers: wanted a whole number, got a table"));
  CHECK(problems_of("[model]\nkind = 1").ends_with("model.kind: wanted a text in quotes, got 1"));
  CHECK(problems_of("[model]\nrecompute = 1").ends_with("model.recompute: wanted true or false, got 1"));
  CHECK(problems_of("[optimizer]\nlr = 9007199254740993").find("optimizer.lr: wanted a number, got") !=
        std::string::npos);
  CHECK(problems_of("[model\n").starts_with("x.toml:1: "));
}

TEST_CASE("config: impossible values and combinations are refused") {
  const auto says = [](const std::string& override, const std::string& text) {
    CHECK(refused(override) == concat("--set ", override, ": ", text));
  };
  says("model.heads=7", "model.hidden: wanted a multiple of model.heads = 7, got 352");
  says("model.heads=0", "model.heads: wanted at least 1, got 0");
  says("train.steps=-1", "train.steps: wanted at least 1, got -1");
  says("optimizer.lr=nan", "optimizer.lr: wanted a number above 0, got nan");
  says("optimizer.clip=-1", "optimizer.clip: wanted a number of at least 0, got -1.0");
  const std::string router = refused("router.name=gru");
  CHECK(router.starts_with("--set router.name=gru: router.name: wanted one of \"dense\", \"smoe\","));
  CHECK(router.ends_with("\"xmoe32-rmoe\", got \"gru\""));
  says("router.name=dense", "router.name: \"dense\" wants model.kind = \"llama\", got \"lm\"");
  says("train.expert_parallel=2", "train.expert_parallel: wants model.kind = \"llama\", got \"lm\"");
  says("train.micro_batches=49", "train.micro_batches: wanted at most train.batch = 48, got 49");
  says("data.valid_share=0.95", "data.valid_share: leaves nothing to train on beside data.test_share = 0.05");
  says("optimizer.weight_decay=0.1",
       "optimizer.weight_decay: wants optimizer.name = \"adamw\", got \"adam\"");
  says("optimizer.min_lr=1", "optimizer.min_lr: wanted at most optimizer.lr = 7e-04, got 1.0");
  CHECK(
      problems_of("", {"model.kind=llama", "model.hidden=9", "model.heads=3"}) ==
      "--set model.hidden=9: model.hidden: llama's rotary embedding wants an even head size, got 9 / 3 = 3");
}

TEST_CASE("config: experts are spread over groups that divide them") {
  const auto llama = [](const std::string& group) {
    return problems_of("", {"model.kind=llama", "model.experts=6", "train.expert_parallel=" + group});
  };
  CHECK(llama("3") == "");
  CHECK(llama("0").ends_with("train.expert_parallel: wanted at least 1, got 0"));
  CHECK(llama("4").ends_with("train.expert_parallel: wanted a divisor of model.experts = 6, got 4"));
}

TEST_CASE("config: kv heads are llama's and divide its heads") {
  CHECK(refused("model.kv_heads=2") ==
        "--set model.kv_heads=2: model.kv_heads: wants model.kind = \"llama\", got \"lm\"");
  const auto llama = [](const std::string& kv) {
    return problems_of("[model]\nkind = \"llama\"\n", {"model.kv_heads=" + kv});
  };
  CHECK(llama("4") == "");
  CHECK(llama("3") == "--set model.kv_heads=3: model.kv_heads: wanted a divisor of model.heads = 8, got 3");
}

TEST_CASE("config: what only llama has is refused in lm, and dense layers leave experts behind them") {
  for (const char* option : {"dense_layers=1", "dense_hidden=1", "shared_hidden=1", "tied_head=true"}) {
    const std::string key = std::string("model.") + option;
    CHECK(refused(key) == concat("--set ", key, ": ", key.substr(0, key.find('=')),
                                 ": wants model.kind = \"llama\", got \"lm\""));
    CHECK(problems_of("[model]\nkind = \"llama\"\n", {key}) == "");
  }
  CHECK(problems_of("[model]\nkind = \"llama\"\n", {"model.dense_layers=8"}) ==
        "--set model.dense_layers=8: model.dense_layers: wanted fewer than model.layers = 8, got 8; "
        "router.name = "
        "\"dense\" has no experts at all");
  CHECK(refused("router.balance_layers=all") ==
        "--set router.balance_layers=all: router.balance_layers: wanted one of \"each\", \"joint\", got "
        "\"all\"");
}

TEST_CASE("config: a missing file is named") {
  CHECK(error_of([] { load_config("no/such.toml"); }) ==
        "cannot read no/such.toml: No such file or directory");
}

TEST_CASE("config: the option table has a row for every option") {
  const std::string table = option_table();
  CHECK(table.find("### [optimizer]\n\n| option | type | default | meaning |") != std::string::npos);
  CHECK(table.find("| `lr` | number | `7e-04` | learning rate after the warm-up |\n") != std::string::npos);
  CHECK(table.find("| `kind` | text | `\"lm\"` | ") != std::string::npos);
}

TEST_CASE("config: fuzz") {
  const std::vector<std::string> seeds = {to_toml(Config()), "[model]\nlayers = 2\n[data]\npath = \"a\"\n"};
  const FuzzCounts counts =
      fuzz(seeds, 500, [](const std::string& text) { parse_config(text, "x.toml", {"train.steps=3"}); });
  CHECK(counts.accepted > 0);
  CHECK(counts.refused > 0);
  CHECK(problems_of("\n[=]").starts_with("x.toml:2: "));
}

}  // namespace rmoe::test
