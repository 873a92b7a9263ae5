#pragma once

#include <string_view>

namespace rmoe::interchange {

/// modeling_rmoe.py beside this file: the Python that computes an exported RMoE in Transformers.
std::string_view modeling_rmoe();

}  // namespace rmoe::interchange
