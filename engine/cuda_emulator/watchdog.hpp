// Ends kernels that never end: a thread that spins until another one does something waits forever here, as it
// may on a GPU.
#pragma once

namespace rmoe::emulator {

struct Runner;

/// From now on no block of this runner may compute longer than options().watchdog_s. Called by its thread.
void watch(Runner& runner);

}  // namespace rmoe::emulator
