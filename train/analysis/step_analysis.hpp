// Cheap versions of the analyses while training: from a step's own forward outputs and gradients, without
// another pass.
#pragma once

#include "models/model.hpp"
#include "train/analysis/gate_statistics.hpp"
#include "train/analysis/mutual_information.hpp"
#include "train/metrics.hpp"

namespace rmoe {

class StepAnalysis {
 public:
  /// Adds the tokens of a micro-batch.
  void add(const std::vector<LayerStats>& layers);

  /// mutual_information (mean over pairs of layers, of the first 1024 tokens) and router_grad_norm (of the
  /// training loss, before clipping); per layer gate_entropy, inner_balance, outer_balance, expert_share (of
  /// the busiest), router_weight_norm, expert_similarity (the paper's scale) and, with a capacity,
  /// drop_ratio. Between the backward pass and the optimizer's step.
  std::vector<Metric> metrics(const Model& model) const;

 private:
  static constexpr int64_t kMutualInformationTokens = 1024;

  MutualInformation information_;
  GateStatistics gates_;
};

}  // namespace rmoe
