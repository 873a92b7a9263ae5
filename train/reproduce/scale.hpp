// The scales a table can be reproduced at, and the paper's proportions, which hold at all of them.
#pragma once

#include "train/config.hpp"
#include "train/reproduce/paper.hpp"

namespace rmoe::reproduce {

struct Scale {
  std::string name, about;
  std::string enwik8;    // config of the medium model
  std::string wikitext;  // the same for WikiText-103; empty: one text stands for both
  int64_t seeds;
  std::string pretrain, finetune;  // configs of the large models
  std::string tasks;               // folder of the zero-shot tasks' files
};

const std::vector<Scale>& scales();
/// A UsageError lists all scales if there is none of this name.
const Scale& scale_named(const std::string& name);

/// The config of a setting, out of that of the medium model. The paper's small model has 3/4 of the medium
/// one's layers, hidden size, expert width, steps and warm-up steps; a series of layers keeps the paper's
/// ratios to its small (6) or medium (8) model.
Config config_for(const Config& medium, const Setting& setting);

/// What a row changes in it: the router, its state, the steps.
Config with_row(Config config, const Row& row);

/// What router.freeze says for a way of tuning.
const char* frozen_by(Tuning tuning);

}  // namespace rmoe::reproduce
