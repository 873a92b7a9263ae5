#pragma once

#include <string>

namespace rmoe {

/// "rmoe 0.1.0 (commit, compiler, flags)": printed by --version and kept in every checkpoint.
std::string build_information();

}  // namespace rmoe
