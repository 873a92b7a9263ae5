// What `rmoe sft` trains on: a file of instructions, encoded, a part of it held back for validation.
#pragma once

#include "data/sft/alpaca.hpp"
#include "train/config.hpp"
#include "train/trainer.hpp"

namespace rmoe {

struct Examples {
  TokenizerPtr tokenizer;
  std::vector<Example> train, valid;  // valid: the last sft.valid of the file
  std::string fingerprint;  // sha256 of all tokens, of what is to be learned of them, and of the tokenizer
};

/// Examples are cut off after train.block tokens.
Examples load_examples(const Config& config, TokenizerPtr tokenizer);

/// Sets train.steps so that sft.epochs go through the examples; 0 leaves it.
void fit_epochs(Config& config, const Examples& examples);

/// The mean loss over all tokens to be learned; parts of a batch at once. No tokens if there are no examples.
Evaluation evaluate(const Model& model, std::span<const Example> examples, const TrainConfig& train,
                    const Tick& tick = {});

/// The examples as a run trains on them. They must outlive it.
TrainingData training_data(const Examples& examples, const Config& config);

}  // namespace rmoe
