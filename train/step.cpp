#include "train/step.hpp"

#include "engine/flops.hpp"
#include "engine/readback.hpp"
#include "ops/cross_entropy/cross_entropy.hpp"
#include "ops/elementwise/elementwise.hpp"
#include "ops/grad_norm/grad_norm.hpp"
#include "ops/load_balance/load_balance.hpp"
#include "train/analysis/step_analysis.hpp"
#include "train/nan_guard.hpp"
#include "train/routing_summary.hpp"
#include "train/schedule.hpp"

#include <algorithm>
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

/// One micro-batch and what its forward pass needs.
struct Part {
  Context context;
  Tensor inputs, targets;  // [B,T]
  Memory memory;

  ModelOutput forward(const Model& model) const { return model(inputs, memory, context); }
};

std::vector<Part> cut(const TrainState& state, const TrainConfig& train, const Batch& batch) {
  const int64_t B = train.batch / train.micro_batches;
  std::vector<Part> parts;
  for (int64_t first = 0; first < train.batch; first += B) {
    const Context context{.training = true,
                          .limit_experts = true,
                          .keep_outputs = false,
                          .seed = uint64_t(train.seed),
                          .step = state.step,
                          .first_stream = first};
    const Batch part = part_of(batch, first, B);
    parts.push_back({context, part.inputs, part.targets, rows_of(state.memory, first, B)});
  }
  return parts;
}

/// Is a part's load balance to be measured with the experts that the other parts chose?
bool counts_first(const Config& config) {
  return config.train.micro_batches > 1 && config.router.balance_over == "batch" &&
         config.router.balance_weight != 0 && config.router.name != "dense";
}

int64_t tokens_in(const std::vector<Part>& parts) {
  int64_t tokens = 0;
  for (const Part& part : parts) tokens += part.inputs.numel();
  return tokens;
}

/// Every layer's share of assignments over all parts, from a forward pass that keeps nothing else. It chooses
/// the experts that the real one will: same masks, same arithmetic.
Tensors shares_of_batch(const Model& model, const std::vector<Part>& parts) {
  const NoGrad guard;
  Tensors experts(size_t(model.config().layers)), shares;  // [N,K] each
  const int64_t N = tokens_in(parts);
  int64_t first = 0;
  for (const Part& part : parts) {
    const ModelOutput output = part.forward(model);
    for (size_t i = 0; i < experts.size(); ++i) {
      const Tensor& chosen = output.layers[i].routing.experts;  // [tokens of the part, K]
      if (!chosen) continue;                                    // a dense layer
      if (!experts[i]) experts[i] = empty_like(chosen, {N, chosen.dim(1)});
      copy(experts[i].rows(first, chosen.dim(0)), chosen);
    }
    first += part.inputs.numel();
  }
  for (const Tensor& chosen : experts)
    shares.push_back(chosen ? expert_share(chosen, model.config().experts) : Tensor());
  return shares;
}

/// The losses of all parts, noted on the device while it works and read once.
class LossSums {
 public:
  /// What a part's losses weigh in those of the batch: the part's share of counted targets, and of tokens.
  void add(const Losses& l, double share_of_loss, double share_of_part) {
    note(l.loss, share_of_loss);
    note(l.balance, share_of_part);
    note(l.z, share_of_part);
    note(l.total, 1);
  }
  /// Waits for the device. Returns the first part whose losses are not finite, or -1.
  int64_t read(StepResult& result) const {
    const std::vector<double> values = read_all(values_);
    int64_t bad = -1;
    for (size_t i = 0; i < values.size(); i += kKinds) {
      result.loss += values[i] * weights_[i];
      result.balance += values[i + 1] * weights_[i + 1];
      result.z_loss += values[i + 2] * weights_[i + 2];
      if (bad < 0 && !std::isfinite(values[i + 3])) bad = int64_t(i / kKinds);
    }
    return bad;
  }

 private:
  static constexpr size_t kKinds = 4;
  void note(const Var& loss, double weight) {
    values_.push_back(loss ? loss.value() : zeros({}, values_[0].dtype(), values_[0].device()));
    weights_.push_back(weight);
  }

  Tensors values_;
  std::vector<double> weights_;
};

/// Forward and backward of the whole batch, part by part; returns the memory for the next one.
Memory run_batch(const TrainState& state, const Config& config, const Batch& batch, StepResult& result,
                 std::optional<StepAnalysis>& analysis) {
  const std::vector<Part> parts = cut(state, config.train, batch);
  const Tensors shares = counts_first(config) ? shares_of_batch(state.model, parts) : Tensors();
  const double flops_before = flops_counted();  // counting is not the model's work
  result.tokens = tokens_in(parts);
  const double counted = double(std::max<int64_t>(count_targets(batch.targets), 1));
  RoutingSummary summary;
  LossSums sums;
  NextMemory next(state.memory, config.train.batch / config.train.micro_batches);
  for (const Part& part : parts) {
    Losses l;
    {
      const ModelOutput output = part.forward(state.model);  // what backward does not need of it is freed
      l = losses(output, part.targets, config.router, shares);
      summary.add(output);
      if (analysis) analysis->add(output.layers);
      next.put(part.context.first_stream, output.memory);
    }
    const double share_of_loss = double(count_targets(part.targets)) / counted,
                 share_of_part = double(part.inputs.numel()) / double(result.tokens);
    sums.add(l, share_of_loss, share_of_part);
    const Var loss = scale(l.loss, share_of_loss);
    backward(l.router ? add(loss, scale(l.router, share_of_part)) : loss);
  }
  if (const int64_t bad = sums.read(result); bad >= 0) {
    const Part& part = parts[size_t(bad)];
    explain_bad_forward(state.model, part.inputs, part.targets, part.memory, part.context);
  }
  const auto [load, entropy, drop_ratio] = summary.read();
  result.load = load;
  result.entropy = entropy;
  result.drop_ratio = drop_ratio;
  result.flops = flops_counted() - flops_before;
  return next.take();
}

DType storage_type(const TrainConfig& train, Device device) {
  if (train.precision == "fp32") return DType::f32;
  RMOE_CHECK(device != Device::cpu, "train: train.precision = \"", train.precision,
             "\" wants a GPU; add --device cuda, or train.precision=fp32");
  return DType::bf16;
}

}  // namespace

TrainState::TrainState(const Config& config, std::unique_ptr<Stream> batches, Device device)
    : model(config.model, config.router, config.train.seed, storage_type(config.train, device), device),
      optimizer(config.optimizer, model.parameters()),
      stream(std::move(batches)),
      memory(model.initial_memory(config.train.batch)) {}

TrainState::TrainState(const Config& config, const Corpus& corpus)
    : TrainState(config, training_stream(corpus, config.train.batch, config.train.block, config.train.seed)) {
}

StepResult train_step(TrainState& state, const Config& config) {
  return train_step(state, config, state.stream->next());
}

StepResult train_step(TrainState& state, const Config& config, const Batch& batch) {
  if (batch.restart)
    for (const Tensor& m : state.memory) fill(m, 0);
  StepResult result;
  std::optional<StepAnalysis> analysis;
  if (analysis_due(config, state.step + 1)) analysis.emplace();
  state.memory = run_batch(state, config, batch, result, analysis);

  const Tensors grads = state.optimizer.gradients();
  const Tensor norm = global_norm(grads);
  result.grad_norm = norm.item();
  if (!std::isfinite(result.grad_norm)) explain_bad_gradient(state.model, state.step);
  if (analysis) result.analysis = analysis->metrics(state.model);
  const int64_t number = state.step + 1;
  state.optimizer.step(number, learning_rate(config.optimizer, number, config.train.steps),
                       clip_scale(norm, config.optimizer.clip));
  state.step = number;
  return result;
}

}  // namespace rmoe
