// What a plan costs on this machine, before it starts.
#pragma once

#include "train/reproduce/runs.hpp"

namespace rmoe::reproduce {

struct Budget {
  std::vector<double> seconds;  // still to spend, per run
  std::string measured;         // what the estimate rests on
  int64_t trained = 0, evaluated = 0;
  int64_t peak_bytes = 0;  // of the largest run yet to be trained
  int64_t disk_bytes = 0;  // of all checkpoints, when every run is done

  double total_seconds() const;
};

/// Times a few real steps of every distinct model size that must be trained, on a copy that is thrown away;
/// other routers of the same size are taken to need time in proportion to their FLOPs.
Budget estimate(const Plan& plan, const std::vector<RunState>& states);

std::string to_text(const Budget& budget, const Plan& plan);

}  // namespace rmoe::reproduce
