// What a forward pass needs to know besides its inputs.
#pragma once

#include "engine/random.hpp"

#include <string_view>

namespace rmoe {

struct Reading;

struct Context {
  bool training = false;       // dropout on
  bool limit_experts = false;  // router.capacity_factor holds: in training, and where training is shown
  bool keep_outputs = false;   // keep every block's output for `trace`
  bool bf16_products = false;  // products of attention's projections and of experts have bf16 factors
  uint64_t seed = 0;
  int64_t step = 0;
  int64_t first_stream =
      0;  // where this micro-batch starts in the batch, so that masks do not depend on the split
  const Reading* reading = nullptr;  // tokens are those of these sequences (models/reading.hpp)

  /// The numbers a module at `path` draws in this step; `per_stream` of them belong to one stream of the
  /// batch.
  RandomStream random(uint64_t path_hash, int64_t per_stream) const {
    return {seed, mix(path_hash, uint64_t(step)), first_stream * per_stream};
  }
};

}  // namespace rmoe
