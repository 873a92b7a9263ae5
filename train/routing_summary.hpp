// How evenly a step used its experts, for the step line and the metrics. What a forward pass did is noted on
// its device; the host reads it once, at the end of the step.
#pragma once

#include "models/output.hpp"

#include <functional>

namespace rmoe {

class RoutingSummary {
 public:
  void add(const ModelOutput& output);

  struct Numbers {
    double load = 0;        // assignments of the busiest expert over the mean, in the worst layer
    double entropy = 0;     // of the gate's softmax in nats, mean over tokens and layers
    double drop_ratio = 0;  // assignments that experts without room dropped, over all assignments
  };
  /// Waits for the device. `over_ranks` adds up what every rank has counted. All are 0 without routers.
  Numbers read(const std::function<std::vector<double>(std::vector<double>)>& over_ranks) const;

 private:
  /// One layer in one forward pass.
  struct Entry {
    size_t layer;
    Tensor share, entropy, kept;  // [E], [], [1]
    int64_t rows, assignments;
  };
  std::vector<Entry> entries_;
};

}  // namespace rmoe
