// Shapes that tell series apart where colours cannot: seven of them, then they repeat.
#pragma once

#include "train/report/svg_writer.hpp"

namespace rmoe::report {

/// Circle, square, triangle, diamond, triangle upside down, cross, plus: all of about the same area.
void draw_marker(Svg& svg, size_t index, double x, double y, std::string_view tooltip = {});

}  // namespace rmoe::report
