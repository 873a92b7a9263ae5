// Damaged input for parsers: bytes of good examples, changed at random, must be taken or refused, never
// crash.
#pragma once

#include "engine/error.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe::test {

struct FuzzCounts {
  int64_t accepted = 0, refused = 0;
};

/// Calls `target` with `executions` inputs made of `seeds`: cut off, bits flipped, bytes inserted, removed or
/// repeated, numbers made extreme, two seeds spliced. The same inputs on every run. `target` may throw Error
/// or UsageError; anything else it throws ends the test with the input as a hex string.
FuzzCounts fuzz(const std::vector<std::string>& seeds, int64_t executions,
                const std::function<void(const std::string&)>& target);

}  // namespace rmoe::test
