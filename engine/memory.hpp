// The caching allocator. Freed blocks are kept by size class and handed out again, so that a training step
// asks the system for nothing after the first one. Thread-safe.
#pragma once

#include "engine/device.hpp"

#include <cstdint>

namespace rmoe::memory {

struct Stats {
  int64_t in_use = 0;        // bytes held by live blocks
  int64_t peak = 0;          // highest in_use since reset_peak
  int64_t reserved = 0;      // bytes taken from the system
  int64_t system_calls = 0;  // times the system was asked
};

/// A block of at least `bytes`, 64-byte aligned; null for 0 bytes and on Device::meta (counted, not stored).
void* allocate(int64_t bytes, Device device);
void release(void* block, int64_t bytes, Device device) noexcept;

Stats stats(Device device);
void reset_peak(Device device);

/// Tests switch this on: new blocks are filled with NaN, and a guard band behind each is checked when it is
/// freed (a damaged one ends the program with a message: it is a kernel writing out of bounds). Only for
/// blocks yet to come. A GPU's blocks are then not kept either, so that the emulator's own guards watch them.
void set_debug(bool on);

}  // namespace rmoe::memory
