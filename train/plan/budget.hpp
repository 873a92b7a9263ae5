// How long one micro-batch takes on one GPU, op by op, three times over:
//
//   limit      max(FLOPs / peak, bytes / memory bandwidth), every op perfect
//   good       what well-written kernels reach
//   first cut  what first versions of them reach
//
// The last two come from assumed efficiencies (README.md), not from measurements.
#pragma once

#include "train/plan/layout.hpp"
#include "train/plan/sizes.hpp"

#include <string>
#include <vector>

namespace rmoe::plan {

/// A number for each column.
struct Columns {
  double limit = 0, good = 0, first = 0;

  Columns& operator+=(const Columns& other);
};
Columns operator*(double factor, Columns columns);

/// A kind of kernel: the share of the peak that its products reach, and what a launch costs besides.
struct Efficiency {
  double good = 1, first = 1;
  double good_latency_us = 0, first_latency_us = 0;
  bool hidden_at_limit = false;  // bytes that a perfect kernel would not move
};

struct Op {
  std::string name = {}, group = {};
  double flops = 0, bytes = 0;
  Efficiency efficiency = {};
  double times = 1;  // how often in a micro-batch
};

/// Seconds of one run.
Columns time_of(const Op& op, const Gpu& gpu, DType dtype);

/// Is there a forward pass over all parts of a batch, to know its loads?
bool loads_first(const Sizes& sizes, const Layout& layout);

/// Forward and backward of one micro-batch, in this order.
std::vector<Op> ops_of(const Sizes& sizes, const Layout& layout);

}  // namespace rmoe::plan
