// The analyses of several runs side by side, as one self-contained HTML page.
#pragma once

#include "train/analysis/analysis.hpp"

namespace rmoe {

/// At least one. A folder that all runs lie in is named once.
std::string report_page(std::vector<Analysis> analyses);

}  // namespace rmoe
