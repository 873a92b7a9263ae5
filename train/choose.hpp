// Which token comes next: one draw from what a model says may come.
#pragma once

#include <cstdint>
#include <span>

namespace rmoe {

struct ChoiceOptions {
  double temperature = 1;  // 0: always the likeliest token
  double top_p = 1;        // draw from the fewest tokens that together have this probability
  int64_t top_k = 0;       // draw from the K likeliest tokens; 0: all
};

/// The likeliest token; the lowest id of equally likely ones.
int32_t likeliest(std::span<const float> logits);

/// Draws from softmax(logits / temperature), cut to top_k and then to top_p; u is uniform in [0, 1). The
/// logits must be finite.
int32_t choose_token(std::span<const float> logits, const ChoiceOptions& options, double u);

}  // namespace rmoe
