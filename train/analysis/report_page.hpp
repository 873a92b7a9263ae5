// The analyses of several runs side by side, as one self-contained HTML page.
#pragma once

#include "train/analysis/analysis.hpp"

namespace rmoe {

std::string report_page(const std::vector<Analysis>& analyses);

}  // namespace rmoe
