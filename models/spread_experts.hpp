// Experts spread over a group of R ranks (expert parallelism): of every layer rank r of it keeps experts
// [r E/R, (r+1) E/R). Rows travel to the ranks of their experts and back; what is computed is what one rank
// would.
#pragma once

#include "engine/comm/communicator.hpp"
#include "ops/expert_dispatch/expert_dispatch.hpp"

namespace rmoe {

/// swiglu_experts of the group's experts for this rank's tokens: x [N,C], routes to all E, gates [N,K], and
/// this rank's w1, w3 [E/R,F,C] and w2 [E/R,C,F] -> y [N,C]. All of the group call it at the same time, also
/// in backward. The host waits once for the number of rows.
Var spread_swiglu_experts(const Var& x, const Routes& routes, const Var& gates, const Var& w1, const Var& w3,
                          const Var& w2, Communicator& ranks);

}  // namespace rmoe
