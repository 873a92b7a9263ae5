// A training run: steps, the step line, validation, checkpoints, stopping and going on, all in one run
// folder:
//
//   RUN/config.toml  metrics.jsonl  events.out.tfevents.*  checkpoints/{step-N, latest, best}
#pragma once

#include "data/corpus.hpp"
#include "train/evaluate.hpp"
#include "train/step.hpp"

#include <filesystem>
#include <optional>

namespace rmoe {

struct RunOptions {
  std::filesystem::path run = {};
  bool resume = false;
  std::filesystem::path init = {};  // start from these parameters (safetensors)
  Device device = Device::cpu;
  Launch launch = {};  // one of several ranks, or one alone
};

/// How a run ended.
struct RunResult {
  int64_t step = 0;
  bool interrupted = false;
  bool is_first = true;     // of all ranks: the one that speaks
  Evaluation valid;         // the last validation; no tokens if there was none
  double tokens_per_s = 0;  // of training steps alone
};

/// What a run learns from, and what it is measured on.
struct TrainingData {
  TokenizerPtr tokenizer;
  std::string name;         // for messages
  std::string fingerprint;  // a run resumes only on equal data
  std::unique_ptr<Stream> batches;
  /// The mean loss per token on what is kept for validation; empty if nothing is.
  std::function<Evaluation(const Model& model, const Tick& tick)> validate = {};
};

/// Gives a model without a vocabulary that of its corpus; an Error if the corpus has more symbols than the
/// model.
void fit_vocabulary(Config& config, const Corpus& corpus);

/// Trains until config.train.steps or until a signal asks to stop (the state is saved then).
RunResult train(const Config& config, TrainingData data, const RunOptions& options);
/// The corpus must outlive the run.
RunResult train(const Config& config, const Corpus& corpus, const RunOptions& options);

}  // namespace rmoe
