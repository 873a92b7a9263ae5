#include "train/interchange/import.hpp"

#include "train/checkpoint.hpp"
#include "train/interchange/architecture.hpp"
#include "train/interchange/export.hpp"
#include "train/interchange/names.hpp"
#include "train/interchange/weight_files.hpp"
#include "train/version.hpp"
#include "train/weights.hpp"

#include <cstring>

namespace rmoe::interchange {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char *kEmbedding = "model.embed_tokens.weight", *kHead = "lm_head.weight";

/// Read and checked like one of ours: heads that divide the width, a top-K of at most E, and so on.
Config read_config(const fs::path& path) {
  const json object = json::parse(files::read(path), nullptr, /*allow_exceptions=*/false);
  try {
    RMOE_CHECK(!object.is_discarded(), "not valid JSON");
    return parse_config(to_toml(config_from_json(object)), "config.json");
  } catch (const Error& error) {
    fail(path.string(), ": ", error.what());
  }
}

/// Weights that a file may hold beside the model's: rotation tables of old exporters, and the embedding again
/// as the head of a tied model.
bool is_beside(const std::string& name, const ModelConfig& model) {
  return name.ends_with(".rotary_emb.inv_freq") || (model.tied_head && name == kHead);
}

/// Sizes that the files cannot hold are refused before a model is made of them, if only on paper.
void check_sizes(const ModelConfig& m, bool dense, const std::vector<NamedTensor>& headers) {
  RMOE_CHECK(m.layers <= int64_t(headers.size()), "it says ", m.layers, " layers, but the files hold ",
             headers.size(), " tensors");
  double held = 0;
  for (const NamedTensor& t : headers) held += double(t.tensor.numel());
  const double C = double(m.hidden), experts = dense ? 1 : double(m.experts);
  const double expert_layers = double(m.layers - m.dense_layers);
  const double least = double(m.vocab) * C + 2 * double(m.layers) * C * C +
                       3 * expert_layers * experts * double(m.expert_hidden) * C;
  RMOE_CHECK(least <= held, "it describes a model of at least ", least, " parameters, but the files hold ",
             held);
}

void check_fit(const fs::path& folder, const Config& config, const WeightFiles& weights) {
  try {
    check_sizes(config.model, config.router.name == "dense", weights.headers());
  } catch (const Error& error) {
    fail((folder / "config.json").string(), ": ", error.what());
  }
  std::vector<NamedTensor> wanted;
  for (const NamedTensor& t : weights.headers()) {
    RMOE_CHECK(t.tensor.dtype() != DType::i32, folder.string(), ": '", t.name,
               "' holds whole numbers, wanted F32, F16 or BF16");
    if (!is_beside(t.name, config.model)) wanted.push_back(t);
  }
  const Model on_paper(config.model, config.router, 1, DType::f32, Device::meta);
  assign(folder.string(), hugging_face_views(on_paper), wanted);
}

void read_weights(const fs::path& folder, const WeightFiles& weights, const Model& model) {
  std::map<std::string, Tensor> place;
  for (const NamedTensor& t : hugging_face_views(model)) place[t.name] = t.tensor;
  Tensor second_head;
  weights.read([&](const NamedTensor& t) {
    if (const auto into = place.find(t.name); into != place.end())
      copy(into->second, t.tensor);
    else if (t.name == kHead)
      second_head = to(t.tensor, DType::f32);
  });
  if (!second_head) return;
  const Tensor& embedding = place.at(kEmbedding);
  const bool same = second_head.shape() == embedding.shape() &&
                    std::ranges::equal(second_head.span<float>(), embedding.span<float>());
  RMOE_CHECK(same, folder.string(), ": \"tie_word_embeddings\" is true, but ", kHead, " is not ", kEmbedding);
}

TokenizerPtr tokenizer_of(const fs::path& folder) {
  try {
    return load_tokenizer(folder);
  } catch (const Error& error) {
    fail(error.what(), "; name one with --tokenizer");
  }
}

Snapshot snapshot_of(const Config& config, const Model& model, const Tokenizer& tokenizer) {
  Snapshot s;
  s.model = named_values(model.parameters());
  s.files = {{tokenizer.file_name(), tokenizer.file_bytes()}};
  s.state = {{"seed", config.train.seed}, {"best_loss", nullptr},        {"validated_step", -1}, {"data", ""},
             {"config", to_toml(config)}, {"build", build_information()}};
  return s;
}

}  // namespace

CheckedModel check_model(const files::Path& folder) {
  RMOE_CHECK(fs::exists(folder / "config.json"), folder.string(),
             " is not a Hugging Face model: it has no config.json");
  CheckedModel model{read_config(folder / "config.json"), WeightFiles(folder)};
  check_fit(folder, model.config, model.weights);
  return model;
}

Config import_model(const files::Path& folder, TokenizerPtr tokenizer, const files::Path& run) {
  refuse_to_overwrite(run);
  auto [config, weights] = check_model(folder);
  if (!tokenizer) tokenizer = tokenizer_of(folder);
  RMOE_CHECK(tokenizer->size() <= config.model.vocab, "import: the tokenizer has ", tokenizer->size(),
             " tokens, the model ", config.model.vocab);

  const Model model(config.model, config.router, config.train.seed);
  read_weights(folder, weights, model);
  config.data.tokens = (run / "latest" / tokenizer->file_name()).string();
  files::make_folder(run);
  files::replace(run / "config.toml", to_toml(config));
  save_checkpoint(run, snapshot_of(config, model, *tokenizer), {});
  return config;
}

}  // namespace rmoe::interchange
