#include "train/reproduce/budget.hpp"

#include "train/progress.hpp"
#include "train/reproduce/finetuning.hpp"
#include "train/signals.hpp"
#include "train/step.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/core.h>
#include <map>
#include <numeric>

namespace rmoe::reproduce {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kProbeTokens = 2048;  // of a timed step, if the batch is larger
constexpr int kProbeSteps = 5;          // or fewer, once they have taken
constexpr double kProbeSeconds = 5;

/// FLOP/s of training steps, the median of a few after one that takes the memory from the system.
double training_speed(const PlannedRun& run, const Corpus& corpus) {
  Config config = run.config;
  TrainConfig& train = config.train;
  train.batch = std::clamp<int64_t>(kProbeTokens / train.block, 1, train.largest_part());
  train.micro_batches = 1;
  TrainState state(config, corpus);
  train_step(state, config);
  std::vector<double> speeds;
  for (double spent = 0; speeds.size() < kProbeSteps && spent < kProbeSeconds && !stop_requested();) {
    const auto start = std::chrono::steady_clock::now();
    train_step(state, config);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    speeds.push_back(run.account.flops_per_token * double(train.batch * train.block) / time.count());
    spent += time.count();
  }
  std::ranges::sort(speeds);
  return speeds.empty() ? 0 : speeds[speeds.size() / 2];
}

/// Tokens that a step reads, on average: examples have as many as they need.
double tokens_per_step(const PlannedRun& run, const std::optional<Examples>& examples) {
  const TrainConfig& t = run.config.train;
  if (!run.base) return double(t.batch * t.block);
  return double(t.batch * tokens_of(examples->train)) / double(examples->train.size());
}

/// Forward and backward FLOPs that a run still needs; a forward pass alone is a third.
double flops_left(const PlannedRun& run, const RunState& state, const Plan& plan) {
  const Corpus& corpus = plan.texts[run.text].corpus;
  const TrainConfig& t = run.config.train;
  const int64_t steps = t.steps - state.step;
  const int64_t validations = (t.eval_every > 0 ? steps / t.eval_every : 0) + (state.trained ? 0 : 1);
  const int64_t block = t.eval_streams * t.block;
  const double validated =
      double(validations) * double(run.base ? tokens_of(plan.examples->valid)
                                            : std::min(t.eval_blocks * block, corpus.valid.size()));
  const double evaluated = state.evaluated ? 0 : double(corpus.valid.size() + corpus.test.size());
  const double scored = state.scored ? 0 : double(plan.tasks->tokens);
  return run.account.flops_per_token *
         (double(steps) * tokens_per_step(run, plan.examples) + (validated + evaluated + scored) / 3);
}

/// Runs of one model size differ in the router alone.
std::string size_of(const PlannedRun& run) {
  const ModelConfig& m = run.config.model;
  return fmt::format("{} layers, C = {}, V = {}", m.layers, m.hidden, m.vocab);
}

int64_t checkpoint_bytes(const PlannedRun& run) {
  const Account& a = run.account;
  return (run.config.train.keep + 1) * (a.parameter_bytes + a.optimizer_bytes + a.memory_bytes);
}

std::string format_bytes(double bytes) {
  return bytes < 1e9 ? fmt::format("{:.0f} MB", bytes / 1e6) : fmt::format("{:.1f} GB", bytes / 1e9);
}

/// Of the nearest folder that exists.
std::string free_disk(fs::path folder) {
  folder = fs::absolute(folder);
  while (!fs::exists(folder)) folder = folder.parent_path();
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  return error ? "unknown" : format_bytes(double(space.available));
}

}  // namespace

double Budget::total_seconds() const { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

Budget estimate(const Plan& plan, const std::vector<RunState>& states) {
  Budget budget;
  std::map<std::string, double> speeds;
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    const Corpus& corpus = plan.texts[run.text].corpus;
    budget.trained += states[i].trained;
    budget.evaluated += states[i].evaluated;
    budget.disk_bytes += checkpoint_bytes(run);
    if (!states[i].trained) budget.peak_bytes = std::max(budget.peak_bytes, run.account.peak_bytes);
    const double flops = flops_left(run, states[i], plan);
    if (flops > 0 && !speeds.contains(size_of(run))) {
      const double speed = speeds[size_of(run)] = training_speed(run, corpus);
      budget.measured += fmt::format("  measured  {} ({}): {:.0f} tokens/s\n", run.router, size_of(run),
                                     speed / run.account.flops_per_token);
    }
    budget.seconds.push_back(flops > 0 ? flops / speeds[size_of(run)] : 0);
  }
  return budget;
}

std::string to_text(const Budget& budget, const Plan& plan) {
  const int64_t all = int64_t(plan.runs.size());
  std::string text = fmt::format("{} at scale {}, {} seed{}\n", plan.table.title, plan.scale, plan.seeds,
                                 plan.seeds == 1 ? "" : "s");
  for (const Text& t : plan.texts)
    text += fmt::format("  text      {}: {} training tokens, vocabulary {}\n", t.name, t.corpus.train.size(),
                        t.medium.model.vocab);
  if (plan.tasks)
    text += fmt::format("  tasks     {} of {}, {} questions at least, {} tokens in all\n",
                        plan.tasks->tasks.size(), plan.tasks->options.folder.string(), plan.tasks->fewest,
                        plan.tasks->tokens);
  if (plan.examples)
    text += fmt::format("  examples  {} to learn, {} for validation\n", plan.examples->train.size(),
                        plan.examples->valid.size());
  text += fmt::format("  runs      {} to train, {} trained\n", all - budget.trained, budget.trained);
  text += budget.measured;
  if (budget.evaluated == all) return text + "  nothing is left to train or to evaluate\n";
  text += fmt::format("  time      about {} on {}\n", format_duration(budget.total_seconds()),
                      machine_description());
  text += fmt::format("  memory    {} at the peak of a step\n", format_bytes(double(budget.peak_bytes)));
  text +=
      fmt::format("  disk      {} of checkpoints in {} ({} free)\n", format_bytes(double(budget.disk_bytes)),
                  plan.request.out.string(), free_disk(plan.request.out));
  return text;
}

}  // namespace rmoe::reproduce
