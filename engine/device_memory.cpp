#include "engine/device_memory.hpp"

#include "engine/cuda/backend.hpp"
#include "engine/error.hpp"
#include "engine/rehearsal.hpp"

#include <algorithm>

namespace rmoe::memory {
namespace {

// Small tensors that nobody planned share one block: the driver is slow, and gives 2 MiB at least.
constexpr int64_t kLeastBlock = int64_t{32} << 20;

[[noreturn]] void fail_for_want_of(int64_t bytes) {
  const auto [left, all] = cuda::device_space();
  fail("cuda: ", bytes, " bytes wanted, the device has ", left, " of ", all,
       " left; use more micro-batches, or model.recompute=true");
}

}  // namespace

DeviceMemory& device_memory() {
  static auto* const instance = new DeviceMemory;
  return *instance;
}

void* DeviceMemory::allocate(int64_t bytes) {
  if (rehearsing()) return rehearsal::allocate(bytes);
  RMOE_CHECK(cuda::available(), "memory: ", cuda::why_unavailable());
  const std::lock_guard lock(mutex_);
  void* const piece = debug_ ? cuda::take_from_driver(bytes) : place(bytes);
  if (!piece) fail_for_want_of(bytes);
  count(Arena::rounded(bytes));
  return piece;
}

void* DeviceMemory::place(int64_t bytes) {
  for (Block& block : blocks_)
    if (const int64_t offset = block.arena.allocate(bytes); offset >= 0) return block.base + offset;
  Block& block = add_block(std::max(Arena::rounded(bytes), kLeastBlock));
  return block.base + block.arena.allocate(bytes);
}

DeviceMemory::Block& DeviceMemory::add_block(int64_t bytes) {
  ++stats_.system_calls;
  void* memory = cuda::take_from_driver(bytes);
  if (!memory) {
    give_back_empty();
    memory = cuda::take_from_driver(bytes);
  }
  if (!memory) fail_for_want_of(bytes);
  stats_.reserved += bytes;
  return blocks_.emplace_back(memory, bytes);
}

void DeviceMemory::give_back_empty() {
  for (auto block = blocks_.begin(); block != blocks_.end();) {
    if (!block->arena.is_empty()) {
      ++block;
      continue;
    }
    cuda::give_to_driver(block->base);
    stats_.reserved -= block->bytes;
    block = blocks_.erase(block);
  }
}

void DeviceMemory::give_back_unused() {
  const std::lock_guard lock(mutex_);
  give_back_empty();
}

void DeviceMemory::release(void* piece, int64_t bytes) {
  if (rehearsal::owns(piece)) return rehearsal::release(piece, bytes);
  const std::lock_guard lock(mutex_);
  count(-Arena::rounded(bytes));
  const auto block =
      std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& b) { return b.holds(piece); });
  if (block == blocks_.end()) return cuda::give_to_driver(piece);  // it was taken while debugging
  block->arena.release(static_cast<char*>(piece) - block->base, bytes);
}

void DeviceMemory::reserve(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (debug_) return;
  add_block(Arena::rounded(bytes));
  blocks_.splice(blocks_.begin(), blocks_, std::prev(blocks_.end()));
}

void DeviceMemory::count(int64_t bytes) {
  stats_.in_use += bytes;
  stats_.peak = std::max(stats_.peak, stats_.in_use);
}

Stats DeviceMemory::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void DeviceMemory::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak = stats_.in_use;
}

void DeviceMemory::set_debug(bool on) {
  const std::lock_guard lock(mutex_);
  debug_ = on;
}

}  // namespace rmoe::memory
