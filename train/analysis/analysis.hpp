// The analyses of the paper's section 6 and appendix A.4 (experiments.md section 5), for one model over the
// tokens of one split.
#pragma once

#include "train/analysis/gate_statistics.hpp"
#include "train/analysis/router_gradients.hpp"
#include "train/analysis/weight_statistics.hpp"
#include "train/evaluate.hpp"

#include <nlohmann/json.hpp>
#include <span>

namespace rmoe {

struct Analysis {
  // Whose it is; analyze() fills in the router and the tokens, its caller the rest.
  std::string run, router, split;
  int64_t step = 0;
  int64_t tokens = 0;  // that every number but the router gradients is taken over

  std::vector<std::vector<double>> mutual_information;  // lower triangle: [i][j], j < i; row 0 is empty
  GateEntropy gate_entropy;
  Balance balance;
  ExpertSimilarity expert_similarity;
  RouterWeights router_weights;
  std::vector<std::vector<double>> expert_frequency;  // [layer][expert], sums to 1 per layer
  RouterGradients router_gradients;

  bool complete = true;  // false if `tick` ended it early: medians and means of what had been read

  double mean_mutual_information() const;  // over pairs of layers
  double mean_entropy() const;             // over layers
};

struct AnalyzeOptions {
  int64_t streams = 8;  // read in parallel, memory carried along each
  int64_t block = 512;  // tokens T per stream and block
  int64_t blocks = -1;  // at most so many; -1 takes all whole ones
  int64_t gradient_blocks = 8;
  Tick tick = {};
};

/// An error if the model has no choice of experts; `what` names it.
void check_analyzable(const Model& model, const std::string& what);

Analysis analyze(Model& model, const Tokens& tokens, const AnalyzeOptions& options);

nlohmann::ordered_json to_json(const Analysis& analysis);

}  // namespace rmoe
