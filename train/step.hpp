// One optimizer step: the arithmetic of training, without files, clocks or messages.
#pragma once

#include "data/corpus.hpp"
#include "models/model.hpp"
#include "train/gradient_sums.hpp"
#include "train/metrics.hpp"
#include "train/optimizer.hpp"
#include "train/ranks.hpp"

namespace rmoe {

struct StepResult {
  double loss = 0;               // nats per counted token, mean over the batch
  double balance = 0;            // load-balance loss
  double z_loss = 0;             // router z-loss, summed over layers; 0 if its weight is
  double grad_norm = 0;          // global L2 norm before clipping
  double load = 0;               // busiest expert's tokens over the mean, the worst layer
  double entropy = 0;            // of the gate's softmax in nats, mean over tokens and layers
  double drop_ratio = 0;         // assignments dropped over all assignments, of all layers
  int64_t tokens = 0;            // that the model read: padding behind the last counted target is left out
  double flops = 0;              // forward and backward, as the ops counted them
  std::vector<Metric> analysis;  // every train.analyze_every steps
};

/// Everything that changes while training: what a checkpoint must hold.
struct TrainState {
  Model model;
  Ranks& ranks;
  Optimizer optimizer;
  GradientSums gradient_sums;
  std::unique_ptr<Stream> stream;
  Memory memory;     // [B,L,C] per layer, B the streams of this rank
  int64_t step = 0;  // finished optimizer steps

  TrainState(const Config& config, std::unique_ptr<Stream> batches, Device device = Device::cpu,
             Ranks& ranks = alone());
  TrainState(const Config& config, const Corpus& corpus);
};

/// What a model's weights and activations are stored in: bf16 on a GPU only.
DType storage_type(const TrainConfig& train, Device device);

/// Runs step number state.step + 1. A loss or gradient that is not finite is an Error naming the first bad
/// tensor, thrown before any parameter changes.
StepResult train_step(TrainState& state, const Config& config);
/// The same on a batch of the caller's. Targets of -1 are not counted; micro-batches weigh what they count.
StepResult train_step(TrainState& state, const Config& config, const Batch& batch);

}  // namespace rmoe
