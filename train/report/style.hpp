// The style sheet of every report: screen and paper, light and dark, wide and narrow.
#pragma once

#include <string>

namespace rmoe::report {

std::string style_sheet();

}  // namespace rmoe::report
