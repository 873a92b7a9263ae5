// Where the memory of tensors and work buffers comes from. On the CPU from a cache: freed blocks are kept by
// size class and handed out again, so that a training step asks the system for nothing after the first one.
// On a GPU from an arena in one block, which a trainer takes before its first tensor
// (engine/device_memory.hpp, train/step_memory.hpp). Thread-safe.
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

/// A block of at least `bytes`, 64-byte aligned (256 on a GPU); null for 0 bytes and on Device::meta
/// (counted, not stored).
void* allocate(int64_t bytes, Device device);
void release(void* block, int64_t bytes, Device device) noexcept;

/// Takes so many bytes of the GPU as one block, from which everything is cut that fits into it; what does not
/// gets further blocks.
void reserve_on_gpu(int64_t bytes);
/// Gives those of its blocks back to the driver of which nothing is in use.
void give_back_unused();

Stats stats(Device device);
void reset_peak(Device device);

/// Tests switch this on: new blocks are filled with NaN, and a guard band behind each is checked when it is
/// freed (a damaged one ends the program with a message: it is a kernel writing out of bounds). Only for
/// blocks yet to come. On a GPU each then comes from the driver and goes back there, so that the emulator's
/// own guards watch them, and nothing is reserved.
void set_debug(bool on);

}  // namespace rmoe::memory
