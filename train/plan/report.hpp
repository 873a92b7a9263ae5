// A plan for people to read and for programs.
#pragma once

#include "train/plan/plan.hpp"

#include <nlohmann/json_fwd.hpp>

namespace rmoe::plan {

const char* name_of(Recompute recompute);

/// `with_ops` adds a line for every op.
std::string to_text(const Plan& plan, const Config& config, bool with_ops);
nlohmann::ordered_json to_json(const Plan& plan, const Config& config);

}  // namespace rmoe::plan
