// How evenly a step used its experts, for the step line and the metrics.
#pragma once

#include "models/output.hpp"

namespace rmoe {

class RoutingSummary {
 public:
  explicit RoutingSummary(int64_t experts) : experts_(experts) {}

  void add(const ModelOutput& output);
  /// Tokens of the busiest expert over the mean, in the worst layer; 0 without routers.
  double load() const;
  /// Entropy of the gate's softmax in nats, mean over tokens and layers; 0 without routers.
  double entropy() const { return rows_ ? entropy_sum_ / double(rows_) : 0; }
  /// Assignments that experts without room dropped, over all assignments.
  double drop_ratio() const { return assignments_ ? double(dropped_) / double(assignments_) : 0; }

 private:
  int64_t experts_;
  std::vector<std::vector<int64_t>> counts_;  // assignments, [layer][expert]
  double entropy_sum_ = 0;
  int64_t rows_ = 0;
  int64_t dropped_ = 0, assignments_ = 0;
};

}  // namespace rmoe
