// The subcommands of `rmoe data` that have files of their own.
#pragma once

#include "train/commands.hpp"

namespace rmoe {

void add_data_prepare(CLI::App& data, Action& run);
void add_data_stat(CLI::App& data, Action& run);

}  // namespace rmoe
