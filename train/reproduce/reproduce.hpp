// `rmoe reproduce`: from a table's name to the filled table, training what is missing on the way.
#pragma once

#include "train/reproduce/plan.hpp"

namespace rmoe::reproduce {

enum class Ending { done, interrupted };

/// Prints the budget; unless it is a dry run, then trains, evaluates and writes
/// OUT/TABLE-SCALE.{md,json,html}.
Ending reproduce(const Request& request, bool dry_run);

}  // namespace rmoe::reproduce
