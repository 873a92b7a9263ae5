// Several ranks on this machine, as `rmoe train --nproc N` starts them: this program once more, N times, with
// the same arguments and the variables that launch_from_environment() reads.
#pragma once

#include "engine/comm/launch.hpp"

#include <vector>

namespace rmoe {

/// This program and its arguments.
std::vector<std::string> own_command();

/// Is this process one of those? Then it must not start any.
bool started_by_launch_ranks(const Environment& environment);

/// Runs `command` as `count` ranks; returns when all have ended. Rank 0 writes where this process writes;
/// what the others write comes to standard error, line by line behind "[rank 3] ". SIGINT, SIGTERM and
/// SIGUSR1 are passed on. When a rank fails, it is named, and the others get seconds to end by themselves.
/// Returns the exit code of the first one that failed (128 + signal if one killed it), kInterruptedRanks if
/// they were stopped, else 0.
int launch_ranks(int count, const std::vector<std::string>& command = own_command());

inline constexpr int kInterruptedRanks = 130;

}  // namespace rmoe
