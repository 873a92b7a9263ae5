// What an answer says of one token: its log-probability and the tokens that were likelier.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace rmoe::serve {

struct TokenInfo {
  int32_t token = 0;
  float log_prob = 0;
  std::vector<std::pair<int32_t, float>> top = {};  // likeliest first; the token itself always among them
};

/// Of `token` under the `logits` before it: log_prob = z_token - log(sum_v e^z_v), rounded once, so that the
/// likeliest token's two entries are the same float. `top` names at least the token itself.
TokenInfo describe(std::span<const float> logits, int32_t token, int64_t top);

}  // namespace rmoe::serve
