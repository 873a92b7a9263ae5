// The configs that ship with the program: all are valid, and each has the size it says it has.
#include "models/model.hpp"
#include "train/account.hpp"
#include "train/config.hpp"

#include <doctest/doctest.h>
#include <fstream>
#include <map>

namespace rmoe::test {
namespace {

std::map<std::string, Config> shipped() {
  std::map<std::string, Config> configs;
  for (const auto& entry : std::filesystem::directory_iterator(RMOE_SOURCE_DIR "/train/configs"))
    if (entry.path().extension() == ".toml")
      configs.emplace(entry.path().stem().string(), load_config(entry.path()));
  return configs;
}

int64_t count(const Config& config, const std::string& router) {
  RouterConfig with = config.router;
  with.name = router;
  return count_parameters(Model(config.model, with, 1, DType::f32, Device::meta)).total;
}

/// The paper's layer list (experiments.md sections 1 and 2) added up by hand, with three LayerNorms of its
/// four.
int64_t layer_list(const ModelConfig& m, int64_t router_per_layer, int64_t router_shared) {
  const int64_t C = m.hidden, F = m.expert_hidden, E = m.experts, V = m.vocab, D = C / m.heads;
  const int64_t attention = 4 * C * C, norms = 3 * 2 * C, experts = E * (F * C + F + C * F + C);
  const int64_t embedding = V * C, key_pe = D * m.span, head = V * C + V;
  return embedding + key_pe + head + m.layers * (attention + norms + router_per_layer + experts) +
         router_shared;
}

}  // namespace

TEST_CASE("configs: the paper's models have the sizes that its layer list adds up to") {
  const std::map<std::string, int64_t> layers{
      {"enwik8-medium", 8},    {"enwik8-small", 6},     {"enwik8-small-12", 12}, {"enwik8-small-18", 18},
      {"enwik8-small-24", 24}, {"enwik8-small-32", 32}, {"wikitext-103", 8},     {"wikitext-103-compete", 6}};
  const auto configs = shipped();
  for (const auto& [name, L] : layers) {
    CAPTURE(name);
    REQUIRE(configs.contains(name));
    const Config& c = configs.at(name);
    const int64_t C = c.model.hidden, E = c.model.experts, P = c.router.state;
    CHECK(c.model.layers == L);
    CHECK(count(c, "smoe") == layer_list(c.model, E * C + E, 0));
    CHECK(count(c, "rmoe") == layer_list(c.model, P * C + E * P + E, 6 * P * P + 6 * P));
  }
  // It states these: 36,076,813, 36.51 M, 15,319,165 and 15.61 M, a never used LayerNorm of 2C per layer
  // included.
  CHECK(count(configs.at("enwik8-medium"), "smoe") == 36'076'813 - 8 * 704);
  CHECK(count(configs.at("enwik8-medium"), "rmoe") == 36'502'029);
  CHECK(count(configs.at("enwik8-small"), "smoe") == 15'319'165 - 6 * 528);
  CHECK(count(configs.at("enwik8-small"), "rmoe") == 15'604'765);
}

TEST_CASE("configs: the paper's models train as the paper says") {
  for (const auto& [name, c] : shipped()) {
    if (!name.starts_with("enwik8") && !name.starts_with("wikitext")) continue;
    CAPTURE(name);
    const bool small = name.starts_with("enwik8-small");
    CHECK(c.train.batch == 48);
    CHECK(c.train.micro_batches == 2);
    CHECK(c.train.block == 512);
    CHECK(c.train.steps == (small ? 60000 : 80000));
    CHECK(c.optimizer.warmup == (small ? 3000 : 4000));
    CHECK(c.optimizer.lr == 7e-4);
    CHECK(c.optimizer.clip == 0);
    CHECK(c.model.span == (name == "wikitext-103-compete" ? 1024 : 2048));
    CHECK(c.model.vocab == (name.starts_with("enwik8") ? 205 : 267'735));
    CHECK(c.data.tokens == (name.starts_with("enwik8") ? "byte" : "word"));
  }
}

TEST_CASE("configs: the pre-trained models count exactly this") {
  const auto configs = shipped();
  const auto counts = [&](const std::string& name, const std::string& router, int64_t P) {
    const Config& c = configs.at(name);
    const RouterConfig with{.name = router, .state = P};
    return count_parameters(Model(c.model, with, 1, DType::f32, Device::meta));
  };
  const ParameterCounts smoe = counts("pretrain-paper", "smoe", 128);
  CHECK(smoe.total == 1'065'514'240);
  CHECK(smoe.non_embedding == 818'443'520);
  CHECK(smoe.active_non_embedding == 322'991'360);
  CHECK(counts("pretrain-paper", "rmoe", 128).total - smoe.total == 3'588'864);
  CHECK(counts("pretrain-paper", "rmoe", 256).total == 1'073'380'096);
  CHECK(counts("pretrain-paper", "rmoe", 512).total == 1'082'523'904);
  CHECK(counts("pretrain-paper", "rmoe-rnn", 256).total == 1'073'116'928);

  // C = 2048, V = 96512: embedding and head, 27 times attention and two norms, the dense layer, 26 times
  // experts.
  const int64_t C = 2048, outside = 2 * 96'512 * C + C, attention = 27 * (4 * C * C + 2 * C),
                dense = 3 * C * 10'944, shared = 3 * C * 2816, expert = 3 * C * 1408, router = 60 * C;
  const ParameterCounts deepseek = counts("deepseek-15b", "smoe", 128);
  CHECK(deepseek.total == outside + attention + dense + 26 * (shared + 60 * expert + router));
  CHECK(deepseek.active == outside + attention + dense + 26 * (shared + 6 * expert + router));
  CHECK(deepseek.total == 14'863'857'664);
  CHECK(deepseek.active == 2'718'201'856);
}

TEST_CASE("configs: a step on WikiText-103 never holds the logits of all its tokens") {
  Config c = load_config(RMOE_SOURCE_DIR "/train/configs/wikitext-103.toml");
  const int64_t words = account_for(c).activation_bytes;
  c.model.vocab = 2;
  CHECK(words - account_for(c).activation_bytes < 66 << 20);  // all logits: 12 GiB
}

TEST_CASE("configs: every file is valid, round trips, makes a model and is on the page") {
  std::string page;
  std::getline(std::ifstream(RMOE_SOURCE_DIR "/train/configs/README.md"), page, '\0');
  for (const auto& [name, c] : shipped()) {
    CAPTURE(name);
    CHECK(to_toml(parse_config(to_toml(c), "copy")) == to_toml(c));
    CHECK(name.starts_with("sft-") != c.data.path.starts_with("corpora/"));  // instructions come with --data
    ModelConfig model = c.model;
    if (model.vocab == 0) model.vocab = 205;
    CHECK(count_parameters(Model(model, c.router, 1, DType::f32, Device::meta)).total > 0);
    CHECK(page.find("`" + name + ".toml`") != page.npos);
  }
  CHECK(shipped().size() == 20);
}

}  // namespace rmoe::test
