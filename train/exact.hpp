// Numbers as text that reads back to the same bits.
#pragma once

#include <string>

namespace rmoe {

/// The shortest text of a finite number that reads back to the same bits, in a form that TOML and JSON take
/// for a number with a fraction: 2.0, 7e-04, 0.1.
std::string exact(double value);

}  // namespace rmoe
