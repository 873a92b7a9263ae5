// Text out of a model, one token at a time.
#pragma once

#include "models/model.hpp"
#include "train/choose.hpp"

#include <functional>

namespace rmoe {

struct SampleOptions {
  int64_t tokens = 200;
  ChoiceOptions choice = {};
  uint64_t seed = 1;
};

/// Continues `prompt` (at least one token); calls `emit` with each new token, which may return false to stop.
void sample(const Model& model, const std::vector<int32_t>& prompt, const SampleOptions& options,
            const std::function<bool(int32_t)>& emit);

}  // namespace rmoe
