#include "train/trainer.hpp"

#include "engine/memory.hpp"
#include "train/checkpoint.hpp"
#include "train/checkpointed_model.hpp"
#include "train/files.hpp"
#include "train/metrics.hpp"
#include "train/peak.hpp"
#include "train/progress.hpp"
#include "train/schedule.hpp"
#include "train/signals.hpp"
#include "train/tensorboard.hpp"
#include "train/version.hpp"
#include "train/weights.hpp"

#include <chrono>
#include <fmt/core.h>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

class Clock {
 public:
  double seconds() const { return std::chrono::duration<double>(Now::now() - start_).count(); }
  void restart() { start_ = Now::now(); }

 private:
  using Now = std::chrono::steady_clock;
  Now::time_point start_ = Now::now();
};

class Run {
 public:
  Run(const Config& config, const Corpus& corpus, const RunOptions& options);
  RunResult go();

 private:
  void restore();
  void log(const StepResult& r, double seconds);
  void validate();
  void save(bool best);
  Snapshot snapshot() const;

  const Config& config_;
  const Corpus& corpus_;
  const RunOptions& options_;
  TrainState state_;
  double best_loss_ = 0;  // of validation; 0: none yet
  int64_t saved_step_ = -1;
  double training_seconds_ = 0;
  int64_t trained_tokens_ = 0;
  RunResult result_;
  std::unique_ptr<MetricsFile> metrics_;
  std::unique_ptr<EventFile> events_;
  std::unique_ptr<Progress> progress_;
  double peak_ = 0;
};

Run::Run(const Config& config, const Corpus& corpus, const RunOptions& options)
    : config_(config), corpus_(corpus), options_(options), state_(config, corpus.train) {
  if (options.resume && has_checkpoint(options.run))
    restore();
  else if (!options.init.empty())
    assign(options.init.string(), named_values(state_.model.parameters()),
           read_safetensors(options.init).tensors);
  write_file(options.run / "config.toml", to_toml(config));
  metrics_ = std::make_unique<MetricsFile>(options.run / "metrics.jsonl", state_.step);
  events_ = std::make_unique<EventFile>(options.run);
  progress_ = std::make_unique<Progress>(config.train.steps, config.train.log_every);
  peak_ = measure_gemm_peak();
}

void Run::restore() {
  const Snapshot s =
      load_latest(options_.run, [&](const std::string& text) { fmt::print(stderr, "rmoe: {}\n", text); });
  const std::string data = s.state.at("data");
  RMOE_CHECK(data == corpus_.fingerprint, "resume: ", config_.data.path, " is not the data ",
             options_.run.string(), " was trained on; give the same data, or another --run");
  assign(options_.run.string(), named_values(state_.model.parameters()), s.model);
  state_.optimizer.restore(s.optimizer);
  for (size_t i = 0; i < state_.memory.size(); ++i) {
    RMOE_CHECK(i < s.memory.size() && s.memory[i].tensor.shape() == state_.memory[i].shape(),
               "resume: the memory in ", options_.run.string(), " does not fit ", state_.memory[i].shape(),
               "; train.batch and model.span cannot change");
    copy(state_.memory[i], s.memory[i].tensor);
  }
  state_.stream.seek({s.state.at("position"), s.state.at("epoch")});
  state_.step = saved_step_ = s.step;
  best_loss_ = s.state.at("best_loss");
}

Snapshot Run::snapshot() const {
  Snapshot s;
  s.step = state_.step;
  s.model = named_values(state_.model.parameters());
  s.optimizer = state_.optimizer.state();
  for (size_t i = 0; i < state_.memory.size(); ++i)
    s.memory.push_back({concat("layers.", i), state_.memory[i]});
  const StreamCursor cursor = state_.stream.cursor();
  s.state = {{"step", state_.step},         {"seed", config_.train.seed},
             {"position", cursor.position}, {"epoch", cursor.epoch},
             {"best_loss", best_loss_},     {"data", corpus_.fingerprint},
             {"config", to_toml(config_)},  {"vocabulary", corpus_.vocabulary.to_json()},
             {"build", build_information()}};
  return s;
}

void Run::save(bool best) {
  save_checkpoint(options_.run, snapshot(), {.keep = config_.train.keep, .best = best});
  saved_step_ = state_.step;
}

void Run::log(const StepResult& r, double seconds) {
  const double tokens_per_s = double(config_.train.batch * config_.train.block) / seconds;
  const double lr = learning_rate(config_.optimizer, state_.step, config_.train.steps);
  StepReport report;
  report.step = state_.step;
  report.steps = config_.train.steps;
  report.loss = r.loss;
  report.lr = lr;
  report.grad_norm = r.grad_norm;
  report.tokens_per_s = tokens_per_s;
  report.peak_share = r.flops / seconds / peak_;
  report.memory_bytes = memory::stats(Device::cpu).peak;
  report.expert_load = r.load;
  report.router_entropy = r.entropy;
  progress_->step(report);
  if (state_.step % config_.train.log_every != 0 && state_.step != config_.train.steps) return;
  const Metrics metrics{
      {"loss", r.loss},           {"bpc", Evaluation{r.loss}.bpc()}, {"lr", lr},
      {"grad_norm", r.grad_norm}, {"tokens_per_s", tokens_per_s},    {"balance_loss", r.balance},
      {"expert_load", r.load},    {"router_entropy", r.entropy},     {"peak_share", report.peak_share}};
  metrics_->write(state_.step, metrics);
  for (const auto& [name, value] : metrics) events_->scalar("train/" + name, value, state_.step);
}

void Run::validate() {
  const Evaluation valid =
      evaluate(state_.model, corpus_.valid, config_.train.eval_streams, config_.train.block,
               config_.train.eval_blocks, [&](int64_t done, int64_t all) {
                 progress_->counter("validating", done, all);
                 return !stop_requested();
               });
  if (stop_requested()) return;
  const Metrics metrics{{"valid_loss", valid.loss}, {"valid_bpc", valid.bpc()}, {"valid_ppl", valid.ppl()}};
  metrics_->write(state_.step, metrics);
  for (const auto& [name, value] : metrics) events_->scalar("valid/" + name.substr(6), value, state_.step);
  progress_->message(
      fmt::format("step {}: valid loss {:.4f}  BPC {:.4f}", state_.step, valid.loss, valid.bpc()));
  result_.valid = valid;
  const bool best = best_loss_ == 0 || valid.loss < best_loss_;
  if (best) best_loss_ = valid.loss;
  const bool due = config_.train.checkpoint_every == 0;
  if (best || due) save(best);
}

RunResult Run::go() {
  const int64_t every = config_.train.checkpoint_every;
  while (state_.step < config_.train.steps && !stop_requested()) {
    Clock clock;
    const StepResult r = train_step(state_, config_);
    const double seconds = clock.seconds();
    training_seconds_ += seconds;
    trained_tokens_ += config_.train.batch * config_.train.block;
    log(r, seconds);
    if (state_.step % config_.train.eval_every == 0 || state_.step == config_.train.steps) validate();
    if (every > 0 && state_.step % every == 0 && saved_step_ != state_.step) save(false);
  }
  progress_->finish();
  if (saved_step_ != state_.step) save(false);
  result_.step = state_.step;
  result_.interrupted = state_.step < config_.train.steps;
  result_.tokens_per_s = training_seconds_ > 0 ? double(trained_tokens_) / training_seconds_ : 0;
  return result_;
}

}  // namespace

RunResult train(const Config& config, const Corpus& corpus, const RunOptions& options) {
  return Run(config, corpus, options).go();
}

}  // namespace rmoe
