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
  NextMemory(const Memory& like, int64_t parts) {
    for (const Tensor& m : like) whole_.push_back(parts == 1 ? Tensor() : empty_like(m));
  }
  void put(int64_t first_stream, const Memory& part) {
    for (size_t i = 0; i < part.size(); ++i) {
      if (!whole_[i])
        whole_[i] = part[i];
      else
        copy(whole_[i].rows(first_stream, part[i].dim(0)), part[i]);
    }
  }
  Memory take() { return std::move(whole_); }

 private:
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
  Memory memory;           // of the rank's own parts

  ModelOutput forward(const Model& model) const { return model(inputs, memory, context); }
};

/// All parts of the batch. A rank computes some of them, but what a loss weighs depends on all.
std::vector<Part> cut(const TrainState& state, const TrainConfig& train, const Batch& batch) {
  std::vector<Part> parts;
  for (int64_t i = 0; i < train.micro_batches; ++i) {
    const int64_t first = train.first_stream(i), B = train.first_stream(i + 1) - first;
    const Context context{.training = true,
                          .limit_experts = true,
                          .keep_outputs = false,
                          .bf16_products = train.precision == "bf16",  // on a CPU
                          .seed = uint64_t(train.seed),
                          .step = state.step,
                          .first_stream = first};
    const Batch part = part_of(batch, first, B);
    parts.push_back({context, part.inputs, part.targets, {}});
  }
  return parts;
}

/// The parts that this rank computes, with their streams' memory.
std::span<const Part> parts_of_rank(const TrainState& state, std::vector<Part>& parts) {
  const size_t count = parts.size() / size_t(state.ranks.size()), first = count * size_t(state.ranks.rank());
  const std::span<Part> mine = std::span(parts).subspan(first, count);
  for (Part& part : mine) {
    const int64_t B = part.inputs.dim(0), stream = part.context.first_stream - mine[0].context.first_stream;
    part.memory = rows_of(state.memory, stream, B);
  }
  return mine;
}

/// Is a part's load balance to be measured with the experts that the other parts chose?
bool counts_first(const Config& config) {
  return config.train.micro_batches > 1 && config.router.balance_over == "batch" &&
         config.router.balance_weight != 0 && config.router.name != "dense";
}

int64_t tokens_in(std::span<const Part> parts) {
  int64_t tokens = 0;
  for (const Part& part : parts) tokens += part.inputs.numel();
  return tokens;
}

/// Every layer's share of assignments over the parts of all ranks, `tokens` in all, from a forward pass that
/// keeps nothing else. It chooses the experts that the real one will: same masks, same arithmetic.
Tensors shares_of_batch(const TrainState& state, std::span<const Part> parts, int64_t tokens) {
  const NoGrad guard;
  const ModelConfig& model = state.model.config();
  Tensors experts(size_t(model.layers)), shares;  // [N,K] each
  const int64_t N = tokens_in(parts);
  int64_t first = 0;
  for (const Part& part : parts) {
    const ModelOutput output = part.forward(state.model);
    for (size_t i = 0; i < experts.size(); ++i) {
      const Tensor& chosen = output.layers[i].routing.experts;  // [tokens of the part, K]
      if (!chosen) continue;                                    // a dense layer
      if (!experts[i]) experts[i] = empty_like(chosen, {N, chosen.dim(1)});
      copy(experts[i].rows(first, chosen.dim(0)), chosen);
    }
    first += part.inputs.numel();
  }
  for (const Tensor& chosen : experts) {
    shares.push_back(chosen ? expert_share(chosen, model.experts, tokens * model.top_k) : Tensor());
    if (chosen) state.ranks.communicator().all_reduce(shares.back(), Reduction::sum);
  }
  return shares;
}

/// The losses of a rank's parts, noted on the device while it works and read once.
class LossSums {
 public:
  /// What a part's losses weigh in those of the batch: the part's share of counted targets, and of tokens.
  void add(const Losses& l, double share_of_loss, double share_of_part) {
    note(l.loss, share_of_loss);
    note(l.balance, share_of_part);
    note(l.z, share_of_part);
    note(l.total, 1);
  }
  struct Sums {
    double loss = 0, balance = 0, z = 0;
    int64_t bad = -1;  // the first part whose losses are not finite
  };
  /// Waits for the device.
  Sums read() const {
    const std::vector<double> values = read_all(values_);
    Sums sums;
    for (size_t i = 0; i < values.size(); i += kKinds) {
      sums.loss += values[i] * weights_[i];
      sums.balance += values[i + 1] * weights_[i + 1];
      sums.z += values[i + 2] * weights_[i + 2];
      if (sums.bad < 0 && !std::isfinite(values[i + 3])) sums.bad = int64_t(i / kKinds);
    }
    return sums;
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

/// What the ranks computed of their parts becomes what the batch has.
void sum_over_ranks(Ranks& ranks, const LossSums::Sums& losses, const RoutingSummary& summary,
                    StepResult& result) {
  const std::vector<double> sums = ranks.sum({losses.loss, losses.balance, losses.z});
  result.loss = sums[0];
  result.balance = sums[1];
  result.z_loss = sums[2];
  const auto [load, entropy, drop_ratio] =
      summary.read([&](auto counts) { return ranks.sum(std::move(counts)); });
  result.load = load;
  result.entropy = entropy;
  result.drop_ratio = drop_ratio;
}

/// Forward and backward of the whole batch, part by part; returns the memory for the next one. Gradients are
/// summed over ranks while the last part's are still being computed.
Memory run_batch(TrainState& state, const Config& config, const Batch& batch, StepResult& result,
                 std::optional<StepAnalysis>& analysis) {
  std::vector<Part> all = cut(state, config.train, batch);
  const std::span<const Part> parts = parts_of_rank(state, all);
  result.tokens = tokens_in(all);
  const Tensors shares = counts_first(config) ? shares_of_batch(state, parts, result.tokens) : Tensors();
  const double flops_before = flops_counted();  // counting is not the model's work
  const double counted = double(std::max<int64_t>(count_targets(batch.targets), 1));
  RoutingSummary summary;
  LossSums sums;
  NextMemory next(state.memory, int64_t(parts.size()));
  for (const Part& part : parts) {
    Losses l;
    {
      const ModelOutput output = part.forward(state.model);  // what backward does not need of it is freed
      l = losses(output, part.targets, config.router, shares);
      summary.add(output);
      if (analysis) analysis->add(output.layers);
      next.put(part.context.first_stream - parts[0].context.first_stream, output.memory);
    }
    const double share_of_loss = double(count_targets(part.targets)) / counted,
                 share_of_part = double(part.inputs.numel()) / double(result.tokens);
    sums.add(l, share_of_loss, share_of_part);
    const Var loss = scale(l.loss, share_of_loss);
    const bool last = &part == &parts.back();
    backward(l.router ? add(loss, scale(l.router, share_of_part)) : loss,
             last ? state.gradient_sums.listener() : LeafDone());
  }
  state.gradient_sums.finish();
  const LossSums::Sums read = sums.read();
  if (read.bad >= 0) {
    const Part& part = parts[size_t(read.bad)];
    explain_bad_forward(state.model, part.inputs, part.targets, part.memory, part.context,
                        !state.ranks.expert_group());
  }
  sum_over_ranks(state.ranks, read, summary, result);
  result.flops = (flops_counted() - flops_before) * state.ranks.size();
  return next.take();
}

/// The streams' memory after a step. On a GPU it stays where it is: each step then finds everything where the
/// last one had it, as a CUDA graph must (engine/cuda/README.md).
void carry(Memory& memory, Memory next) {
  if (memory.empty() || memory[0].device() != Device::cuda) {
    memory = std::move(next);
    return;
  }
  for (size_t i = 0; i < memory.size(); ++i) copy(memory[i], next[i]);
}

}  // namespace

DType storage_type(const TrainConfig& train, Device device) {
  return train.precision == "bf16" && device == Device::cuda ? DType::bf16 : DType::f32;
}

TrainState::TrainState(const Config& config, std::unique_ptr<Stream> batches, Device device, Ranks& all)
    : model(config.model, config.router, config.train.seed, storage_type(config.train, device), device,
            all.expert_group()),
      ranks(all),
      optimizer(config.optimizer, model.parameters(), ranks),
      gradient_sums(ranks, model, optimizer),
      stream(std::move(batches)),
      memory(model.initial_memory(config.train.batch / ranks.size())) {
  const auto check = [&](const char* setting, int64_t value) {
    RMOE_CHECK(value % ranks.size() == 0, "train: ", setting, " = ", value, ", wanted a multiple of the ",
               ranks.size(), " ranks");
  };
  check("train.batch", config.train.batch);
  check("train.micro_batches", config.train.micro_batches);
}

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
  carry(state.memory, run_batch(state, config, batch, result, analysis));

  const Tensor norm = state.optimizer.grad_norm();
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
