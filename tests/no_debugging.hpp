// What tests do whose subject is memory itself.
#pragma once

#include "engine/memory.hpp"

namespace rmoe::test {

/// While it lives, blocks come and go as they do in the program (memory::set_debug).
struct NoDebugging {
  NoDebugging() { memory::set_debug(false); }
  ~NoDebugging() { memory::set_debug(true); }
  NoDebugging(const NoDebugging&) = delete;
};

}  // namespace rmoe::test
