#include "train/checkpointed_model.hpp"

#include "train/weights.hpp"

namespace rmoe {

CheckpointedModel open_checkpoint(const std::filesystem::path& path, Device device) {
  CheckpointedModel opened;
  opened.path = find_checkpoint(path);
  const Snapshot snapshot = load_checkpoint(opened.path);
  opened.config = parse_config(snapshot.state.at("config").get<std::string>(), opened.path.string(), {});
  opened.tokenizer = load_tokenizer(opened.path);
  opened.model = std::make_unique<Model>(opened.config.model, opened.config.router, opened.config.train.seed,
                                         DType::f32, device);
  assign(opened.path.string(), opened.model->parameters(), snapshot.model);
  opened.step = snapshot.step;
  opened.data_fingerprint = snapshot.state.at("data").get<std::string>();
  return opened;
}

}  // namespace rmoe
