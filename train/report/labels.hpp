// Text that has to fit: how wide it will be, shortened, wrapped, and moved apart. Widths are estimates on the
// wide side (those of DejaVu Sans), because the reader's font is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rmoe::report {

double text_width(std::string_view text, double size);
/// Cut to `width` with an ellipsis, between characters.
std::string shortened(std::string_view text, double size, double width);
/// Lines of at most `width`, broken at spaces; a longer word is shortened.
std::vector<std::string> wrapped(std::string_view text, double size, double width);
/// The places nearest to `wanted` (least squares) inside [low, high] that are at least `gap` apart. If there
/// is not room for that, they share the room evenly.
std::vector<double> spread_out(const std::vector<double>& wanted, double gap, double low, double high);

}  // namespace rmoe::report
