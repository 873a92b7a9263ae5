// Text out of a model, one token at a time.
#pragma once

#include "models/model.hpp"

#include <functional>

namespace rmoe {

struct SampleOptions {
  int64_t tokens = 200;
  double temperature = 1;  // 0: always the likeliest token
  int64_t top_k = 0;       // 0: all tokens
  uint64_t seed = 1;
};

/// Continues `prompt` (at least one token); calls `emit` with each new token, which may return false to stop.
void sample(const Model& model, const std::vector<int32_t>& prompt, const SampleOptions& options,
            const std::function<bool(int32_t)>& emit);

}  // namespace rmoe
