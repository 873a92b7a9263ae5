#include "train/reproduce/scale.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe::reproduce {
namespace {

const std::vector<Scale> kScales{
    {"tiny", "two CPU cores, minutes a run", "train/configs/tiny.toml", "", 3,
     "train/configs/end-to-end.toml", "train/configs/sft-small.toml", "tools/end_to_end/tasks"},
    {"small", "a laptop over a night", "train/configs/small.toml", "", 3, "train/configs/pretrain-small.toml",
     "train/configs/sft-small.toml", "corpora"},
    {"paper", "the paper's models, steps and texts", "train/configs/enwik8-medium.toml",
     "train/configs/wikitext-103.toml", 1, "train/configs/pretrain-paper.toml",
     "train/configs/sft-alpaca.toml", "corpora"},
};

int64_t three_quarters(int64_t n) { return std::max<int64_t>(1, n * 3 / 4); }

}  // namespace

const std::vector<Scale>& scales() { return kScales; }

const Scale& scale_named(const std::string& name) {
  const auto found = std::ranges::find(kScales, name, &Scale::name);
  if (found != kScales.end()) return *found;
  std::string list;
  for (const Scale& scale : kScales) list += (list.empty() ? "" : ", ") + scale.name;
  throw UsageError(concat("reproduce: there is no scale \"", name, "\"; there are ", list));
}

Config config_for(const Config& medium, const Setting& setting) {
  Config config = medium;
  const bool small = setting.size == Size::small;
  if (small) {
    ModelConfig& m = config.model;
    m.layers = three_quarters(m.layers);
    m.hidden = std::max<int64_t>(1, three_quarters(m.hidden) / m.heads) * m.heads;
    m.expert_hidden = three_quarters(m.expert_hidden);
    config.train.steps = three_quarters(config.train.steps);
    config.optimizer.warmup = three_quarters(config.optimizer.warmup);
  }
  if (setting.layers > 0) {
    const double ratio = double(setting.layers) / (small ? 6 : 8);
    config.model.layers = std::max<int64_t>(1, std::llround(ratio * double(config.model.layers)));
  }
  return config;
}

Config with_row(Config config, const Row& row) {
  config.router.name = row.router;
  config.router.state = std::llround(row.variant.state * double(config.router.state));
  config.train.steps = std::llround(row.variant.steps * double(config.train.steps));
  return config;
}

const char* frozen_by(Tuning tuning) {
  switch (tuning) {
    case Tuning::router_frozen:
      return "router";
    case Tuning::router_and_cell_frozen:
      return "router,recurrent";
    default:
      return "";
  }
}

}  // namespace rmoe::reproduce
