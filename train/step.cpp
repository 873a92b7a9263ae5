#include "train/step.hpp"

#include "engine/flops.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/grad_norm/grad_norm.hpp"
#include "train/analysis/step_analysis.hpp"
#include "train/nan_guard.hpp"
#include "train/routing_summary.hpp"
#include "train/schedule.hpp"

#include <cmath>

namespace rmoe {
namespace {

Memory rows_of(const Memory& memory, int64_t begin, int64_t count) {
  Memory part;
  for (const Tensor& m : memory) part.push_back(m.rows(begin, count));
  return part;
}

/// Collects the memories that micro-batches leave behind. One micro-batch hands its own over without a copy.
class NextMemory {
 public:
  NextMemory(const Memory& like, int64_t streams) : streams_(streams) {
    for (const Tensor& m : like) whole_.push_back(m.dim(0) == streams ? Tensor() : empty_like(m));
  }
  void put(int64_t first_stream, const Memory& part) {
    for (size_t i = 0; i < part.size(); ++i) {
      if (!whole_[i])
        whole_[i] = part[i];
      else
        copy(whole_[i].rows(first_stream, streams_), part[i]);
    }
  }
  Memory take() { return std::move(whole_); }

 private:
  int64_t streams_;
  Memory whole_;
};

bool analysis_due(const Config& config, int64_t step) {
  const int64_t every = config.train.analyze_every;
  return every > 0 && step % every == 0 && has_choices(config.model, config.router);
}

/// The losses of the micro-batch that starts at stream `first`. What backward does not need is free when this
/// returns.
Losses forward_part(const TrainState& state, const Config& config, const Batch& batch, int64_t first,
                    NextMemory& next, RoutingSummary& summary, std::optional<StepAnalysis>& analysis) {
  const int64_t B = config.train.batch / config.train.micro_batches;
  const Context context{.training = true,
                        .keep_outputs = false,
                        .seed = uint64_t(config.train.seed),
                        .step = state.step,
                        .first_stream = first};
  const Tensor inputs = batch.inputs.rows(first, B), targets = batch.targets.rows(first, B);
  const Memory memory = rows_of(state.memory, first, B);
  const ModelOutput output = state.model(inputs, memory, context);
  const Losses l = losses(output, targets, config.router.balance_weight);
  if (!std::isfinite(l.total.value().item()))
    explain_bad_forward(state.model, inputs, targets, memory, context);
  summary.add(output);
  if (analysis) analysis->add(output.layers);
  next.put(first, output.memory);
  return l;
}

}  // namespace

TrainState::TrainState(const Config& config, const std::vector<int32_t>& tokens)
    : model(config.model, config.router, config.train.seed),
      optimizer(config.optimizer, model.parameters()),
      stream(tokens, config.train.batch, config.train.block, config.train.seed),
      memory(model.initial_memory(config.train.batch)) {}

StepResult train_step(TrainState& state, const Config& config) {
  const int64_t parts = config.train.micro_batches, B = config.train.batch / parts;
  const double flops_before = flops_counted();
  const Batch batch = state.stream.next();
  if (batch.restart)
    for (const Tensor& m : state.memory) fill(m, 0);

  StepResult result;
  std::optional<StepAnalysis> analysis;
  if (analysis_due(config, state.step + 1)) analysis.emplace();
  RoutingSummary summary(config.model.experts);
  NextMemory next(state.memory, B);
  for (int64_t part = 0; part < parts; ++part) {
    const Losses l = forward_part(state, config, batch, part * B, next, summary, analysis);
    result.loss += l.loss.value().item() / parts;
    if (l.balance) result.balance += l.balance.value().item() / parts;
    backward(scale(l.total, 1.0 / parts));
  }
  state.memory = next.take();

  const Tensors grads = state.optimizer.gradients();
  result.grad_norm = global_norm(grads);
  if (!std::isfinite(result.grad_norm)) explain_bad_gradient(state.model, state.step);
  if (analysis) result.analysis = analysis->metrics(state.model);
  const int64_t number = state.step + 1;
  state.optimizer.step(number, learning_rate(config.optimizer, number, config.train.steps),
                       clip_scale(result.grad_norm, config.optimizer.clip));
  state.step = number;
  result.load = summary.load();
  result.entropy = summary.entropy();
  result.flops = flops_counted() - flops_before;
  return result;
}

}  // namespace rmoe
