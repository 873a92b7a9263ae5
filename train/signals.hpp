// Stopping politely: SIGINT (Ctrl-C) and SIGTERM ask the run to save and end; a second SIGINT ends it at
// once.
#pragma once

namespace rmoe {

/// From now on these signals only set a flag.
void watch_stop_signals();
bool stop_requested();

}  // namespace rmoe
