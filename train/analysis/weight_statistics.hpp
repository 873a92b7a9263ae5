// What the weights alone say: how alike the experts of a layer are, and how large its gate matrix is.
#pragma once

#include "models/model.hpp"

namespace rmoe {

/// Every expert is described by its matrices averaged over the expert width F: w1 [F,C] -> [C], w3 likewise
/// if there is one, w2 [C,F] -> [C]. Each of these parts is divided by its L2 norm, the parts are joined, and
/// the dot products of all E x E pairs of experts are averaged (figures 5 and 13). Equal experts give the
/// number of parts, which is the paper's scale; divided by `parts` they give 1.
struct ExpertSimilarity {
  int64_t parts = 0;
  double mean = 0;                // over layers, in the paper's scale
  std::vector<double> per_layer;  // in the paper's scale
};
ExpertSimilarity expert_similarity(const Model& model);

/// The matrix [E,*] that a layer's head compares features with: its L2 norm and the standard deviation of its
/// elements (figure 11).
struct RouterWeights {
  std::vector<double> norm, stddev;  // per layer
};
RouterWeights router_weights(const Model& model);

}  // namespace rmoe
