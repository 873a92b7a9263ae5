#include "train/trainer.hpp"

#include "engine/files.hpp"
#include "engine/memory.hpp"
#include "train/checkpoint.hpp"
#include "train/checkpointed_model.hpp"
#include "train/metrics.hpp"
#include "train/peak.hpp"
#include "train/progress.hpp"
#include "train/schedule.hpp"
#include "train/signals.hpp"
#include "train/step_memory.hpp"
#include "train/tensorboard.hpp"
#include "train/version.hpp"

#include <chrono>
#include <cmath>
#include <fmt/core.h>
#include <limits>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

class Clock {
 public:
  double seconds() const { return std::chrono::duration<double>(Now::now() - start_).count(); }

 private:
  using Now = std::chrono::steady_clock;
  Now::time_point start_ = Now::now();
};

class Run {
 public:
  Run(const Config& config, TrainingData data, const RunOptions& options, Ranks& ranks, double peak);
  RunResult go();

 private:
  bool restore();
  void log(const StepResult& r, double seconds);
  void write(const std::string& group, const std::vector<Metric>& metrics);
  bool due(int64_t every) const;
  void validate();
  void validate_and_save();
  void save(bool best);
  Snapshot snapshot();
  bool stop();
  double remaining_seconds() const;

  const Config& config_;
  TrainingData data_;
  const RunOptions& options_;
  Ranks& ranks_;
  const double peak_;  // of all ranks' processors, FLOP/s
  TrainState state_;
  double best_loss_ = std::numeric_limits<double>::infinity();  // of validation
  int64_t saved_step_ = -1, validated_step_ = -1;
  const bool resumed_;  // restore() sets what is declared above
  Evaluation valid_;    // the last one
  double training_seconds_ = 0;
  int64_t trained_steps_ = 0, trained_tokens_ = 0;
  bool stopping_ = false;
  std::optional<MetricsWriter> metrics_;  // of the first rank, which writes all files
  std::optional<EventWriter> events_;
  ProgressLine progress_;
};

Run::Run(const Config& config, TrainingData data, const RunOptions& options, Ranks& ranks, double peak)
    : config_(config),
      data_(std::move(data)),
      options_(options),
      ranks_(ranks),
      peak_(peak),
      state_(config, std::move(data_.batches), options.device, ranks_),
      resumed_(options.resume && restore()),
      progress_(config.train.log_every) {
  if (!resumed_ && !options.init.empty())
    state_.optimizer.restore_weights(options.init.string(), read_safetensors(options.init).tensors);
  if (!ranks_.is_first()) return;
  const auto after = resumed_ ? std::optional(state_.step) : std::nullopt;
  metrics_.emplace(options.run / "metrics.jsonl", after);
  events_.emplace(options.run, after);
  files::replace(options.run / "config.toml", to_toml(config));
}

/// Goes back to the newest intact checkpoint; false if the run has none yet.
bool Run::restore() {
  if (!has_checkpoint(options_.run)) return false;
  const Snapshot s =
      load_latest(options_.run, [](const std::string& text) { fmt::print(stderr, "rmoe: {}\n", text); });
  RMOE_CHECK(s.state.at("data") == data_.fingerprint, "resume: ", data_.name, " is not the data ",
             options_.run.string(), " was trained on; give the same data, or another --run");
  state_.optimizer.restore(options_.run.string(), s.model, s.optimizer);
  RMOE_CHECK(s.memory.size() == state_.memory.size(), "resume: ", options_.run.string(), " holds ",
             s.memory.size(), " memories, wanted ", state_.memory.size());
  for (size_t i = 0; i < state_.memory.size(); ++i) {
    const Tensor& saved = s.memory[i].tensor;
    const Shape mine = state_.memory[i].shape(), all = mine.with(0, mine[0] * ranks_.size());
    RMOE_CHECK(saved.shape() == all, "resume: the streams' memory is ", saved.shape(), ", wanted ", all,
               "; train.batch and model.span cannot change");
    copy(state_.memory[i], saved.rows(mine[0] * ranks_.rank(), mine[0]));
  }
  state_.stream->seek(s.state.at("stream"));
  state_.step = saved_step_ = s.step;
  validated_step_ = s.state.at("validated_step");
  if (!s.state.at("best_loss").is_null()) best_loss_ = s.state.at("best_loss");
  return true;
}

/// Whole, whatever the number of ranks: another number may go on with it.
Snapshot Run::snapshot() {
  Snapshot s;
  s.step = state_.step;
  s.model = state_.optimizer.weights();
  s.optimizer = state_.optimizer.state();
  for (size_t i = 0; i < state_.memory.size(); ++i)
    s.memory.push_back({concat("layers.", i), ranks_.gather(state_.memory[i])});
  s.files = {{data_.tokenizer->file_name(), data_.tokenizer->file_bytes()}};
  s.state = {{"seed", config_.train.seed},
             {"stream", state_.stream->cursor()},
             {"best_loss", std::isfinite(best_loss_) ? nlohmann::json(best_loss_) : nlohmann::json()},
             {"validated_step", validated_step_},
             {"data", data_.fingerprint},
             {"config", to_toml(config_)},
             {"build", build_information()}};
  return s;
}

void Run::save(bool best) {
  const Snapshot whole = snapshot();
  ranks_.settle();
  if (ranks_.is_first()) {
    metrics_->sync();
    save_checkpoint(options_.run, whole, {.best = best, .keep = config_.train.keep});
  }
  saved_step_ = state_.step;
}

double Run::remaining_seconds() const {
  return training_seconds_ / double(trained_steps_) * double(config_.train.steps - state_.step);
}

void Run::log(const StepResult& r, double seconds) {
  if (!ranks_.is_first()) return;
  const TrainConfig& train = config_.train;
  const double tokens_per_s = double(r.tokens) / seconds;
  const double lr = learning_rate(config_.optimizer, state_.step, train.steps);
  const double peak_share = r.flops / seconds / peak_;
  const RouterConfig& router = config_.router;
  const auto drop_ratio = router.capacity_factor > 0 ? std::optional(r.drop_ratio) : std::nullopt;
  progress_.step({.step = state_.step,
                  .steps = train.steps,
                  .loss = r.loss,
                  .words = !data_.tokenizer->is_byte_level(),
                  .lr = lr,
                  .grad_norm = r.grad_norm,
                  .tokens_per_s = tokens_per_s,
                  .peak_share = peak_share,
                  .memory_bytes = memory::stats(options_.device).reserved,
                  .expert_load = r.load,
                  .router_entropy = r.entropy,
                  .drop_ratio = drop_ratio,
                  .remaining_s = remaining_seconds()});
  if (!r.analysis.empty()) write("analysis/", r.analysis);
  if (state_.step % train.log_every != 0 && state_.step != train.steps) return;
  std::vector<Metric> metrics{
      {"loss", r.loss},           {"bpc", Evaluation{r.loss}.bpc()}, {"lr", lr},
      {"grad_norm", r.grad_norm}, {"tokens_per_s", tokens_per_s},    {"balance_loss", r.balance},
      {"expert_load", r.load},    {"router_entropy", r.entropy},     {"peak_share", peak_share}};
  if (drop_ratio) metrics.push_back({"drop_ratio", *drop_ratio});
  if (router.z_loss_weight != 0) metrics.push_back({"z_loss", r.z_loss});
  write("train/", metrics);
}

/// One line of metrics.jsonl, and the same numbers for TensorBoard, where each layer has a tag of its own.
void Run::write(const std::string& group, const std::vector<Metric>& metrics) {
  if (!ranks_.is_first()) return;
  metrics_->write(state_.step, metrics);
  for (const Metric& m : metrics) {
    if (const auto* value = std::get_if<double>(&m.value))
      events_->scalar(state_.step, group + m.name, *value);
    else if (const auto* layers = std::get_if<std::vector<double>>(&m.value))
      for (size_t i = 0; i < layers->size(); ++i)
        events_->scalar(state_.step, concat(group, m.name, "/layer_", i), (*layers)[i]);
  }
}

void Run::validate() {
  const auto tick = [this](int64_t done, int64_t all) {
    if (ranks_.is_first()) progress_.count("validating", done, all);
    return !stop();
  };
  valid_ = data_.validate(state_.model, tick);
  if (stop()) return;  // the resumed run validates this step
  validated_step_ = state_.step;
  write("", {{"valid_loss", valid_.loss}, {"valid_bpc", valid_.bpc()}, {"valid_ppl", valid_.ppl()}});
  const bool best = valid_.loss < best_loss_;
  if (best) best_loss_ = valid_.loss;
  if (ranks_.is_first())
    progress_.say(fmt::format("step {}: valid loss {:.4f}  {}{}", state_.step, valid_.loss,
                              valid_.text(data_.tokenizer->is_byte_level()), best ? "  (best)" : ""));
  if (best) save(true);
}

bool Run::due(int64_t every) const { return every > 0 && state_.step > 0 && state_.step % every == 0; }

void Run::validate_and_save() {
  const TrainConfig& train = config_.train;
  const bool validation_due = due(train.eval_every) || state_.step == train.steps;
  if (validation_due && data_.validate && validated_step_ != state_.step) validate();
  const bool save_due = train.checkpoint_every > 0 ? due(train.checkpoint_every) : validation_due;
  if (save_due && saved_step_ != state_.step) save(false);
}

/// All ranks stop after the same step.
bool Run::stop() {
  stopping_ = stopping_ || ranks_.any(stop_requested());
  return stopping_;
}

RunResult Run::go() {
  const TrainConfig& train = config_.train;
  validate_and_save();  // what a signal cut off
  while (state_.step < train.steps && !stop()) {
    ranks_.step(state_.step + 1);
    const Clock clock;
    const StepResult r = train_step(state_, config_);
    const double seconds = clock.seconds();
    training_seconds_ += seconds;
    ++trained_steps_;
    trained_tokens_ += r.tokens;
    log(r, seconds);
    ranks_.rest();
    validate_and_save();
  }
  if (saved_step_ != state_.step) save(false);
  ranks_.finish();
  const bool validated = !data_.validate || validated_step_ == state_.step;
  const bool finished = state_.step == train.steps && validated;
  return {state_.step, !finished, ranks_.is_first(), valid_,
          trained_steps_ ? double(trained_tokens_) / training_seconds_ : 0};
}

}  // namespace

void fit_vocabulary(Config& config, const Corpus& corpus) {
  const int64_t vocabulary = corpus.tokenizer->size();
  if (config.model.vocab == 0) config.model.vocab = vocabulary;
  RMOE_CHECK(config.model.vocab >= vocabulary, "train: model.vocab is ", config.model.vocab,
             " but the data has ", vocabulary, " symbols; model.vocab=0 takes it from there");
}

RunResult train(const Config& config, TrainingData data, const RunOptions& options) {
  Ranks ranks(options.launch, options.device, {{"config", to_toml(config)}, {"data", data.fingerprint}},
              config.train.expert_parallel);
  try {
    const double peak = measure_peak(options.device, storage_type(config.train, options.device));
    if (options.device == Device::cuda) reserve_for_training(config, ranks);
    return Run(config, std::move(data), options, ranks, peak * ranks.size()).go();
  } catch (const std::exception& error) {  // an error of one rank is told to all
    ranks.abort(error.what());
    throw;
  }
}

RunResult train(const Config& config, const Corpus& corpus, const RunOptions& options) {
  const TrainConfig& train_config = config.train;
  const int64_t streams = train_config.eval_streams, T = train_config.block;
  EvalBlocks(corpus.valid, T, streams);  // too few tokens are an error now
  TrainingData data{corpus.tokenizer, config.data.path, corpus.fingerprint,
                    training_stream(corpus, train_config.batch, T, uint64_t(train_config.seed))};
  data.validate = [&corpus, streams, T, blocks = train_config.eval_blocks](const Model& model,
                                                                           const Tick& tick) {
    return evaluate(model, corpus.valid, streams, T, blocks, tick);
  };
  return train(config, std::move(data), options);
}

}  // namespace rmoe
