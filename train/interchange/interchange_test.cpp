// Models out of and into Hugging Face's format. tests/golden/hf-*: saved by Transformers, with the logits
// that it computes (tools/make_interchange_golden.py).
#include "data/vocabulary.hpp"
#include "engine/memory.hpp"
#include "tests/folder.hpp"
#include "tests/fuzz.hpp"
#include "tests/tiny_models.hpp"
#include "train/checkpointed_model.hpp"
#include "train/interchange/architecture.hpp"
#include "train/interchange/export.hpp"
#include "train/interchange/import.hpp"
#include "train/interchange/names.hpp"
#include "train/trace.hpp"

#include <doctest/doctest.h>
#include <set>

namespace rmoe::test {
namespace {

using namespace interchange;
namespace fs = std::filesystem;
using nlohmann::json;

fs::path golden(const std::string& name) {
  return fs::path(RMOE_SOURCE_DIR) / "tests/golden" / ("hf-" + name);
}

TokenizerPtr some_tokenizer() {
  auto vocabulary = std::make_shared<Vocabulary>();
  vocabulary->learn("a b\n\x80");
  return vocabulary;
}

/// A model of ours with nothing at a special value, and the config it would be trained with.
struct Trained {
  Config config;
  std::unique_ptr<Model> model;

  explicit Trained(const std::string& name, const std::function<void(ModelConfig&)>& change = {}) {
    const TinyCase c = tiny_case("llama-" + name);
    config.model = c.model;
    config.router = c.router;
    config.train.block = 24;
    if (change) change(config.model);
    model = std::make_unique<Model>(config.model, config.router, 3);
    spread_parameters(*model);
  }
};

struct NamedCase {
  std::string name, router;
  std::function<void(ModelConfig&)> change = {};
};

std::vector<NamedCase> exportable() {
  const auto layered = [](ModelConfig& m) {
    m.dense_layers = 1;
    m.shared_hidden = 7;
    m.moe_weight = 0.7;
  };
  const auto grouped = [](ModelConfig& m) {
    m.kv_heads = 1;
    m.tied_head = true;
  };
  return {{"dense, grouped keys, tied", "dense", grouped},
          {"smoe", "smoe"},
          {"rmoe, dense layer, shared expert", "rmoe", layered},
          {"rmoe-rnn", "rmoe-rnn"},
          {"smoe, dense layer, shared expert", "smoe", layered}};
}

std::map<std::string, std::string> bytes_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = files::read(entry.path());
  return files;
}

/// Copies a golden folder, so that a test may damage it.
fs::path copy_of(const std::string& name, const TestFolder& folder) {
  fs::remove_all(folder / "hf");
  fs::copy(golden(name), folder / "hf");
  fs::remove(folder / "hf/logits.safetensors");
  return folder / "hf";
}

/// The error of importing the folder, without the folder's name.
std::string import_error(const fs::path& hf, const TestFolder& folder) {
  std::string text = error_of([&] { import_model(hf, some_tokenizer(), folder / "run"); });
  CHECK(!fs::exists(folder / "run"));
  if (text.starts_with(hf.string())) text.erase(0, hf.string().size() + 1);
  return text;
}

std::string import_error_with(const std::string& name, const json& patch) {
  const TestFolder folder;
  const fs::path hf = copy_of(name, folder);
  json config = json::parse(files::read(hf / "config.json"));
  config.merge_patch(patch);
  folder.write("hf/config.json", config.dump());
  return import_error(hf, folder);
}

}  // namespace

TEST_CASE("interchange: models that Transformers saved give its logits") {
  for (const std::string name : {"llama-gqa", "llama-tied", "mixtral", "rmoe", "rmoe-deep"}) {
    CAPTURE(name);
    const TestFolder folder;
    import_model(golden(name), some_tokenizer(), folder / "run");
    const CheckpointedModel opened = open_checkpoint(folder / "run");
    std::map<std::string, Tensor> wanted;
    for (const NamedTensor& t : read_safetensors(golden(name) / "logits.safetensors").tensors)
      wanted[t.name] = t.tensor;
    const NoGrad guard;
    const Tensor inputs = inputs_and_targets(wanted.at("tokens")).first;
    const Tensor logits = (*opened.model)(inputs, {}, {}).logits().value();
    const Array theirs = to_array(wanted.at("logits")), ours = to_array(logits);
    REQUIRE(ours.shape == theirs.shape);
    double most = 0, difference = 0;
    for (size_t i = 0; i < ours.data.size(); ++i) {
      most = std::max(most, std::fabs(theirs.data[i]));
      difference = std::max(difference, std::fabs(ours.data[i] - theirs.data[i]));
    }
    CHECK(most > 1);  // not a model that says nothing
    CHECK(difference < 1e-5 * most);
  }
}

TEST_CASE("interchange: export, import, export: the same weights and the same files") {
  for (const NamedCase& c : exportable()) {
    CAPTURE(c.name);
    const TestFolder folder;
    const Trained trained(c.router, c.change);
    // One of them in bf16 and shards, the others whole.
    const ExportOptions options =
        c.router == "smoe" && c.change ? ExportOptions{DType::bf16, 4000} : ExportOptions{};
    CHECK(export_model(*trained.model, trained.config, *some_tokenizer(), folder / "a", options) == "");
    import_model(folder / "a", nullptr, folder / "run");
    const CheckpointedModel opened = open_checkpoint(folder / "run");
    const Parameters &before = trained.model->parameters(), &after = opened.model->parameters();
    for (size_t i = 0; i < before.size(); ++i) {
      const Tensor rounded = to(to(before[i].var.value(), options.dtype), DType::f32);
      CHECK_MESSAGE(same_bits({after[i].var.value()}, {rounded}), before[i].name);
    }
    CHECK(opened.tokenizer->file_bytes() == some_tokenizer()->file_bytes());
    export_model(*opened.model, opened.config, *opened.tokenizer, folder / "b/", options);
    const auto a = bytes_in(folder / "a"), b = bytes_in(folder / "b");
    REQUIRE(a.size() == b.size());
    for (const auto& [name, bytes] : a) CHECK_MESSAGE(b.at(name) == bytes, name);
    CHECK(a.contains("model.safetensors.index.json") == (options.dtype == DType::bf16));
    CHECK(a.contains("modeling_rmoe.py") ==
          (a.at("config.json").find("RmoeForCausalLM") != std::string::npos));
  }
}

TEST_CASE("interchange: every value has one place, and every tensor its own name") {
  for (const NamedCase& c : exportable()) {
    CAPTURE(c.name);
    const Trained trained(c.router, c.change);
    std::set<std::string> names;
    int64_t values = 0;
    for (const NamedTensor& t : hugging_face_views(*trained.model)) {
      names.insert(t.name);
      values += t.tensor.numel();
    }
    CHECK(names.size() == hugging_face_views(*trained.model).size());
    CHECK(values == count_parameters(*trained.model).total);
  }
}

TEST_CASE("interchange: what Transformers has no model for is refused before anything is written") {
  const TestFolder folder;
  const auto refusal = [&](const std::string& name) {
    const TinyCase c = tiny_case(name);
    Config config;
    config.model = c.model;
    config.router = c.router;
    const Model model(c.model, c.router, 1);
    return error_of([&] { export_model(model, config, *some_tokenizer(), folder / "out"); });
  };
  CHECK(refusal("lm-smoe") ==
        "export: model.kind \"lm\" has no Hugging Face architecture (a memory and relative "
        "positions); \"llama\" can be exported");
  CHECK(refusal("llama-xmoe") ==
        "export: router \"xmoe\" has no Hugging Face architecture; dense (Llama), smoe (Mixtral), rmoe and "
        "rmoe-rnn "
        "(the paper's) can be exported");
  CHECK(!fs::exists(folder / "out"));
  folder.write("out/notes.txt", "mine");
  const Trained trained("dense");
  CHECK(error_of([&] {
          export_model(*trained.model, trained.config, *some_tokenizer(), folder / "out");
        }).ends_with("exists already; name a new folder or remove it"));
}

TEST_CASE("interchange: a config.json that asks for something else is refused by the name of the field") {
  const auto llama = [](const json& patch) { return import_error_with("llama-gqa", patch); };
  const auto mixtral = [](const json& patch) { return import_error_with("mixtral", patch); };
  CHECK(llama({{"model_type", "qwen2_moe"}}) ==
        "config.json: \"model_type\" is \"qwen2_moe\"; \"llama\", \"mixtral\" and \"llama_moe_rnn\" (the "
        "paper's) can be "
        "imported");
  CHECK(llama({{"attention_bias", true}}) ==
        "config.json: \"attention_bias\" is true, which is not supported; wanted false");
  CHECK(llama({{"hidden_act", "gelu"}}) ==
        "config.json: \"hidden_act\" is \"gelu\", which is not supported; wanted \"silu\"");
  CHECK(llama({{"rope_parameters", {{"rope_type", "llama3"}}}}) ==
        "config.json: \"rope_parameters\" asks for \"llama3\", which is not supported; wanted \"default\"");
  CHECK(llama({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}) ==
        "config.json: \"rope_scaling\" asks for \"linear\", which is not supported; wanted \"default\"");
  CHECK(mixtral({{"sliding_window", 4096}}) ==
        "config.json: \"sliding_window\" is 4096, which is not supported; wanted null");
  CHECK(mixtral({{"head_dim", 8}}) == "config.json: \"head_dim\" is 8, which is not supported; wanted 4");
  CHECK(mixtral({{"num_local_experts", nullptr}}) == "config.json: \"num_local_experts\" is missing");
  CHECK(mixtral({{"vocab_size", "19"}}) ==
        "config.json: \"vocab_size\" is \"19\", wanted a whole number from 1 to 16777216");
  CHECK(mixtral({{"num_attention_heads", 5}, {"num_key_value_heads", 5}}).find("model.heads") !=
        std::string::npos);
  CHECK(mixtral({{"num_hidden_layers", 3000}}) ==
        "config.json: it says 3000 layers, but the files hold 47 tensors");
  CHECK(mixtral({{"hidden_size", 12288}}).starts_with("config.json: it describes a model of at least "));
}

TEST_CASE("interchange: weights that do not fit are refused by name, all of them") {
  CHECK(import_error_with("mixtral", {{"num_hidden_layers", 1}})
            .find("model.layers.1.block_sparse_moe.gate.weight is not in the model") != std::string::npos);
  const std::string shapes = import_error_with("llama-gqa", {{"num_key_value_heads", 1}});
  for (const int layer : {0, 1})
    CHECK(shapes.find(
              concat("model.layers.", layer, ".self_attn.k_proj.weight has shape [8,24], wanted [4,24]")) !=
          std::string::npos);
  CHECK(import_error_with("llama-tied", {{"tie_word_embeddings", false}}) ==
        " does not fit the model: lm_head.weight is missing");
}

TEST_CASE("interchange: a tied model may bring its head along, if it is the embedding") {
  for (const bool same : {true, false}) {
    const TestFolder folder;
    const fs::path hf = copy_of("llama-tied", folder);
    std::vector<NamedTensor> tensors = read_safetensors(hf / "model.safetensors").tensors;
    Tensor head;
    for (const NamedTensor& t : tensors)
      if (t.name == "model.embed_tokens.weight") head = clone(t.tensor);
    if (!same) head.data<float>()[5] += 1;
    tensors.push_back({"lm_head.weight", head});
    tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", from_vector<float>({1, 0.1f}, {2})});
    write_safetensors(hf / "model.safetensors", tensors);
    if (same)
      CHECK(import_model(hf, some_tokenizer(), folder / "run").model.tied_head);
    else
      CHECK(import_error(hf, folder) ==
            " \"tie_word_embeddings\" is true, but lm_head.weight is not model.embed_tokens.weight");
  }
}

TEST_CASE("interchange: damaged files are named") {
  const TestFolder folder;
  const std::string shard = "model-00002-of-00003.safetensors";
  fs::path hf = copy_of("mixtral", folder);
  const std::string bytes = files::read(hf / shard);
  folder.write("hf/" + shard, bytes.substr(0, bytes.size() - 2));
  CHECK(import_error(hf, folder).starts_with(shard + ": tensor '"));
  fs::remove(hf / shard);
  CHECK(import_error(hf, folder).find(shard) != std::string::npos);
  hf = copy_of("mixtral", folder);
  json index = json::parse(files::read(hf / "model.safetensors.index.json"));
  index["weight_map"]["lm_head.weight"] = shard;
  folder.write("hf/model.safetensors.index.json", index.dump());
  CHECK(import_error(hf, folder).find("which the index does not have there") != std::string::npos);
  index["weight_map"]["lm_head.weight"] = "../" + shard;
  folder.write("hf/model.safetensors.index.json", index.dump());
  CHECK(import_error(hf, folder).find("wanted the name of one beside the index") != std::string::npos);
  hf = copy_of("llama-gqa", folder);
  std::vector<NamedTensor> tensors = read_safetensors(hf / "model.safetensors").tensors;
  tensors[0].tensor = to(tensors[0].tensor, DType::i32);
  write_safetensors(hf / "model.safetensors", tensors);
  CHECK(import_error(hf, folder).find("holds whole numbers, wanted F32, F16 or BF16") != std::string::npos);
  fs::remove(hf / "model.safetensors");
  CHECK(import_error(hf, folder) == "holds neither model.safetensors nor model.safetensors.index.json");
  fs::remove(hf / "config.json");
  CHECK(import_error(hf, folder) == "is not a Hugging Face model: it has no config.json");
}

TEST_CASE("interchange: fuzz config.json and the index") {
  for (const std::string file : {"config.json", "model.safetensors.index.json"}) {
    CAPTURE(file);
    const TestFolder folder;
    const fs::path hf = copy_of("mixtral", folder);
    const std::string seed = json::parse(files::read(hf / file)).dump();
    memory::reset_peak(Device::cpu);
    const int64_t before = memory::stats(Device::cpu).in_use;
    const FuzzCounts counts = fuzz({seed}, 300, [&](const std::string& input) {
      folder.write("hf/" + file, input);
      check_model(hf);
    });
    CHECK(counts.accepted > 0);
    CHECK(counts.refused > 0);
    CHECK(memory::stats(Device::cpu).peak - before < 1 << 20);
  }
}

}  // namespace rmoe::test
