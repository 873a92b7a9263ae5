// Memory of a GPU: pieces of a few blocks from the driver, each with its arena. The first that has room is
// used. A trainer reserves one that holds whatever its steps need: then these ask the driver for nothing, and
// a step finds its tensors where the last one had them. Unplanned work (validation, samples, a checkpoint)
// uses what steps leave free, and further blocks where that is not enough; these are kept.
#pragma once

#include "engine/arena.hpp"
#include "engine/memory.hpp"

#include <list>
#include <mutex>

namespace rmoe::memory {

class DeviceMemory {
 public:
  void* allocate(int64_t bytes);
  void release(void* piece, int64_t bytes);
  void reserve(int64_t bytes);
  void give_back_unused();

  Stats stats() const;
  void reset_peak();
  void set_debug(bool on);

 private:
  struct Block {
    Block(void* memory, int64_t bytes) : base(static_cast<char*>(memory)), bytes(bytes), arena(bytes) {}
    bool holds(const void* piece) const { return piece >= base && piece < base + bytes; }
    char* base;
    int64_t bytes;
    Arena arena;
  };

  void count(int64_t bytes);
  void* place(int64_t bytes);
  Block& add_block(int64_t bytes);
  void give_back_empty();  // blocks

  mutable std::mutex mutex_;
  std::list<Block> blocks_;  // the reserved one first
  Stats stats_;
  bool debug_ = false;
};

/// That of this process. Never destroyed: tensors in static storage may be freed after it would be.
DeviceMemory& device_memory();

}  // namespace rmoe::memory
