#include "data/tokenizer/hugging_face.hpp"

#include "data/tokenizer/bpe_tokenizer.hpp"
#include "data/tokenizer/tokenizer_json.hpp"
#include "engine/error.hpp"
#include "engine/files.hpp"

#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json special_names(const Tokenizer& tokenizer) {
  ordered_json names = ordered_json::object();
  const auto add = [&](const char* key, std::optional<int32_t> token) {
    if (token) names[key] = tokenizer.name(*token);
  };
  add("bos_token", tokenizer.bos());
  add("eos_token", tokenizer.eos());
  add("pad_token", tokenizer.pad());
  return names;
}

/// "<s>", or {"content": "<s>", ...}; empty if there is none.
std::string name_in(const ordered_json& config, const char* key) {
  const ordered_json token = config.value(key, ordered_json());
  if (token.is_string()) return token.get<std::string>();
  return token.is_object() ? token.value("content", "") : "";
}

SpecialNames names_beside(const fs::path& folder) {
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::exists(path)) return {};
  try {
    const ordered_json config = ordered_json::parse(files::read(path));
    RMOE_CHECK(config.is_object(), path.string(), ": wanted a JSON object");
    return {name_in(config, "bos_token"), name_in(config, "eos_token"), name_in(config, "pad_token")};
  } catch (const nlohmann::json::exception& problem) {
    fail(path.string(), ": not what Transformers writes: ", problem.what());
  }
}

}  // namespace

void export_hugging_face(const Tokenizer& tokenizer, const fs::path& folder) {
  const auto* bpe = dynamic_cast<const BpeTokenizer*>(&tokenizer);
  if (bpe == nullptr)
    throw UsageError(
        concat("tokenizer: ", tokenizer.file_name(),
               " has no form that Transformers reads: train a byte-level or SentencePiece tokenizer"));
  const bool is_json = tokenizer.file_name() == "tokenizer.json";
  const ordered_json names = special_names(tokenizer);
  ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                         {"clean_up_tokenization_spaces", false}};
  config.update(names);
  files::make_folder(folder);
  files::replace(folder / "tokenizer.json",
                 is_json ? tokenizer.file_bytes() : write_tokenizer_json(bpe->model()));
  files::replace(folder / "tokenizer_config.json", config.dump(1) + "\n");
  files::replace(folder / "special_tokens_map.json", names.dump(1) + "\n");
}

TokenizerPtr open_hugging_face(const fs::path& folder) {
  const std::string bytes = files::read(folder / "tokenizer.json");
  BpeModel model = read_tokenizer_json(bytes);
  const SpecialNames names = names_beside(folder);
  const auto is_known = [&](const std::string& name, std::optional<int32_t> token) {
    return name.empty() || (token && model.names[*token] == name);
  };
  const bool known =
      is_known(names.bos, model.bos) && is_known(names.eos, model.eos) && is_known(names.pad, model.pad);
  return std::make_shared<BpeTokenizer>(known ? std::move(model)
                                              : read_tokenizer_json(note_special_tokens(bytes, names)));
}

}  // namespace rmoe
