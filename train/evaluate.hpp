// Validation and test: whole blocks along a few parallel streams, the memory carried from block to block (the
// protocol of the original experiments, experiments.md section 2).
#pragma once

#include "models/model.hpp"

#include <functional>

namespace rmoe {

struct Evaluation {
  double loss = 0;     // nats per token, the mean over blocks
  int64_t tokens = 0;  // predicted
  double bpc() const;
  double ppl() const;
};

/// At most `blocks` blocks of [streams, T]; -1 takes all whole ones. `tick(done, all)` returns false to stop
/// early.
Evaluation evaluate(const Model& model, const std::vector<int32_t>& tokens, int64_t streams, int64_t T,
                    int64_t blocks, const std::function<bool(int64_t done, int64_t all)>& tick = {});

}  // namespace rmoe
