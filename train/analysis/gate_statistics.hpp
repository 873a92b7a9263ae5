// What the gates of every layer did with the tokens they saw: how sure they were, and whom they chose.
// Scores are softmax probabilities over all E experts, before the K kept ones are renormalised.
#pragma once

#include "models/output.hpp"

#include <limits>

namespace rmoe {

/// Are there several experts to choose from?
bool has_choices(const ModelConfig& model, const RouterConfig& router);

/// The softmax probabilities of each layer with experts, [N,E], of at most so many tokens.
std::vector<Tensor> gate_probabilities(const std::vector<LayerStats>& layers,
                                       int64_t most = std::numeric_limits<int64_t>::max());

/// -sum_e p_e ln p_e per token, in nats: 0 if one expert has everything, ln E if all are alike (figure 4).
struct GateEntropy {
  std::vector<double> mean, stddev;            // per layer, over tokens
  std::vector<std::vector<double>> histogram;  // per layer: share of tokens in equal bins over [0, ln E]
};

/// inner: median of top-1 score / top-2 score. outer: median of the sum of the K highest scores (table 8).
/// `inner` and `outer` are medians over all tokens of all layers together.
struct Balance {
  double inner = 0, outer = 0;
  std::vector<double> inner_per_layer, outer_per_layer;
};

class GateStatistics {
 public:
  static constexpr int kEntropyBins = 50;

  /// Adds tokens: what the layers with experts, which are those counted here, say of them.
  void add(const std::vector<LayerStats>& layers);

  GateEntropy entropy() const;
  /// Exact medians: all scores are kept until here, 8 bytes per token and layer.
  Balance balance() const;
  /// Share of assignments per layer and expert (figure 12).
  std::vector<std::vector<double>> expert_frequency() const;
  /// Share of each layer's assignments that full experts dropped; 0 but in training with a capacity.
  std::vector<double> drop_ratio() const;

 private:
  struct Layer {
    double entropy_sum = 0, entropy_squares = 0;
    std::vector<int64_t> entropy_counts, assignments;
    int64_t dropped = 0;
    std::vector<float> inner, outer;  // per token
  };
  static void add(Layer& layer, const RoutingStats& routing);

  std::vector<Layer> layers_;
};

}  // namespace rmoe
