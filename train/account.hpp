// What a config costs, from running its model on the meta device: the same code that trains, shapes only.
#pragma once

#include "models/model.hpp"
#include "train/config.hpp"

namespace rmoe {

struct Account {
  ParameterCounts parameters;
  double flops_per_token = 0;  // forward and backward of a training step, products only
  int64_t parameter_bytes = 0;
  int64_t gradient_bytes = 0;
  int64_t optimizer_bytes = 0;
  int64_t memory_bytes = 0;      // the streams' memory of past hidden states
  int64_t activation_bytes = 0;  // the rest of the step's peak
  int64_t peak_bytes = 0;        // highest sum of live tensors during a step
};

/// The largest micro-batch of config.train. config.model.vocab must be known.
Account account_for(const Config& config);

}  // namespace rmoe
