#include "train/interchange/export.hpp"

#include "train/interchange/architecture.hpp"
#include "train/interchange/modeling_rmoe.hpp"
#include "train/interchange/names.hpp"
#include "train/interchange/tokenizer_files.hpp"
#include "train/interchange/weight_files.hpp"

#include <nlohmann/json.hpp>

namespace rmoe::interchange {
namespace {

namespace fs = std::filesystem;

void write_json(const fs::path& path, const nlohmann::ordered_json& json) {
  files::replace(path, json.dump(2) + "\n");
}

}  // namespace

void refuse_to_overwrite(const files::Path& out) {
  if (fs::exists(out) && !(fs::is_directory(out) && fs::is_empty(out)))
    throw UsageError(concat("--out ", out.string(), " exists already; name a new folder or remove it"));
}

std::string export_model(const Model& model, const Config& config, const Tokenizer& tokenizer,
                         const files::Path& out, const ExportOptions& options) {
  const Architecture architecture = architecture_of(model.config(), model.router());
  refuse_to_overwrite(out);
  const fs::path whole = fs::absolute(out).lexically_normal(),
                 name = whole.has_filename() ? whole : whole.parent_path();
  const fs::path staged = name.parent_path() / (".tmp-" + name.filename().string());
  files::remove(staged);
  files::make_folder(staged);

  const SpecialTokens special{tokenizer.bos(), tokenizer.eos(), tokenizer.pad()};
  write_json(staged / "config.json", config_json(config, model, special, options.dtype));
  write_json(staged / "generation_config.json", generation_config_json(special));
  if (architecture == Architecture::rmoe) files::replace(staged / "modeling_rmoe.py", modeling_rmoe());
  const std::string note = write_tokenizer(staged, tokenizer);
  write_weights(staged, hugging_face_views(model), options.dtype, options.most_shard_bytes);
  files::sync_folder(staged);
  files::rename(staged, name);
  return note;
}

}  // namespace rmoe::interchange
