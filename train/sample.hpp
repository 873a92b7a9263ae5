// Text out of a model, one token at a time.
#pragma once

#include "models/model.hpp"

#include <functional>
#include <span>

namespace rmoe {

struct SampleOptions {
  int64_t tokens = 200;
  double temperature = 1;  // 0: always the likeliest token
  int64_t top_k = 0;       // 0: all tokens
  uint64_t seed = 1;
};

/// Draws from softmax(logits / temperature) over the top_k likeliest, of equal ones the lower; u is uniform
/// in [0, 1).
int32_t choose_token(std::span<const float> logits, const SampleOptions& options, double u);

/// Continues `prompt` (at least one token); calls `emit` with each new token, which may return false to stop.
void sample(const Model& model, const std::vector<int32_t>& prompt, const SampleOptions& options,
            const std::function<bool(int32_t)>& emit);

}  // namespace rmoe
