// How much the routers of two layers agree about a token. Both gate distributions of the token (E values) are
// cut into 100 bins over [0, 1]; the E pairs of bins are E samples of two discrete variables, and their
// mutual information is that of the two layers for this token. The mean over tokens is reported.
//
//   MI(i,j) = mean_n I(bin(p_i,n,:); bin(p_j,n,:)) in nats      experiments.md section 5; the paper's figure
//   3
#pragma once

#include "engine/tensor.hpp"

#include <vector>

namespace rmoe {

/// The bin of a probability: floor(100 p), with 1 in the last of 0..99.
inline constexpr int kScoreBins = 100;

class MutualInformation {
 public:
  /// Adds tokens: one tensor of gate probabilities [N,E] per layer, on the CPU.
  void add(const std::vector<Tensor>& probs);
  int64_t tokens() const { return tokens_; }

  /// Lower triangle: row i holds layer i against layers 0..i-1, so row 0 is empty.
  std::vector<std::vector<double>> matrix() const;
  /// Mean over all pairs of layers; 0 for a single layer.
  double mean() const;

 private:
  int64_t layers_ = 0, tokens_ = 0;
  std::vector<double> sums_;  // over tokens; row after row of the triangle
};

}  // namespace rmoe
