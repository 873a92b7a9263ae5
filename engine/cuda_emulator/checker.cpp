#include "engine/cuda_emulator/checker.hpp"

#include "engine/cuda_emulator/backtrace.hpp"
#include "engine/cuda_emulator/heap.hpp"
#include "engine/cuda_emulator/runner.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <sys/mman.h>
#include <utility>

namespace rmoe::emulator {
namespace checker {
namespace {

enum Flags : uint32_t { kAllocated = 1, kWritten = 2, kInFlight = 4 };

/// Who touched two bytes and when, in one word. The clock ticks at every barrier, so that "before the block's
/// last barrier" is a comparison.
struct Access {
  uint64_t word = 0;

  static Access by(const Thread& thread, uint64_t now, unsigned bytes, bool atomic) {
    return {now << 28 | (thread.block->number & 0x7fff) << 13 | static_cast<uint64_t>(thread.number) << 3 |
            bytes << 1 | static_cast<unsigned>(atomic)};
  }
  uint64_t time() const { return word >> 28; }
  uint64_t block() const { return word >> 13 & 0x7fff; }
  int thread() const { return static_cast<int>(word >> 3 & 0x3ff); }
  unsigned bytes() const { return word >> 1 & 3; }  // which of the two
  bool atomic() const { return word & 1; }
};

struct Cell {
  Access writer, reader, other_reader;
  uint32_t flags, unused;
};

/// A thread that fenced and then touched an atomic lets those who touch the same one later see what it had
/// seen.
struct Release {
  uint64_t block;
  int thread;
  uint64_t fence_time, barrier_time;
};

bool instrumented = false;
uint64_t clock_now = 1, launch_time = 1;
Cell* device_cells = nullptr;
Cell* shared_cells = nullptr;
const Runner* executing = nullptr;
std::map<uintptr_t, std::vector<Release>> releases;  // by address of the atomic
std::vector<Release> acquired;                       // by the executing block

Cell* map_cells(size_t bytes_covered) {
  return static_cast<Cell*>(mmap(nullptr, bytes_covered / 2 * sizeof(Cell), PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

bool in_shared(uintptr_t address) {
  return executing && address - reinterpret_cast<uintptr_t>(executing->arena) < kArenaBytes;
}

Cell* cell_of(uintptr_t address) {
  if (in_shared(address)) return shared_cells + (address - reinterpret_cast<uintptr_t>(executing->arena)) / 2;
  if (address - kHeapBase >= kHeapSpan) return nullptr;
  if (!device_cells) device_cells = map_cells(kHeapSpan);
  return device_cells + (address - kHeapBase) / 2;
}

template <class Change>
void for_cells(const void* address, size_t bytes, Change change) {
  if (!instrumented || bytes == 0) return;
  const uintptr_t first = reinterpret_cast<uintptr_t>(address);
  Cell* cell = cell_of(first);
  std::for_each(cell, cell + ((first & 1) + bytes + 1) / 2, change);
}

/// Does anything order the earlier access before what `thread` does now?
bool concurrent(Access earlier, Access now, const Thread& thread) {
  if (earlier.time() < launch_time || !(earlier.bytes() & now.bytes())) return false;
  if (earlier.atomic() && now.atomic()) return false;
  const Block& block = *thread.block;
  if (earlier.block() == now.block()) {
    if (earlier.thread() == now.thread() || earlier.time() < block.barrier_time) return false;
    return earlier.thread() / kWarpSize != now.thread() / kWarpSize || earlier.time() >= thread.warp_time;
  }
  return std::none_of(acquired.begin(), acquired.end(), [&](const Release& r) {
    if (r.block != earlier.block()) return false;
    return earlier.time() < r.barrier_time || (earlier.thread() == r.thread && earlier.time() < r.fence_time);
  });
}

[[noreturn]] void found(const char* what, uintptr_t address, size_t bytes, const Access* other) {
  char who[96] = "";
  if (other)
    snprintf(who, sizeof who, ", the other access was by block %llu thread %d",
             static_cast<unsigned long long>(other->block()), other->thread());
  const char* where = in_shared(address) ? "shared" : "global";
  Runner& r = runner();
  r.message = callers();  // not in this frame, which is never left
  kernel_fails(cudaErrorIllegalAddress, "%s: %zu bytes of %s memory at 0x%zx%s, in %s", what, bytes, where,
               address, who, r.message.c_str());
}

/// Everything else that a kernel may touch: its stack, its arguments, constants, and the emulator's own
/// state.
bool may_touch(uintptr_t address, const Thread& thread) {
  const auto within = [&](const void* begin, size_t bytes) {
    return address - reinterpret_cast<uintptr_t>(begin) < bytes;
  };
  const Launch& launch = *executing->launch;
  return executing->fibers[static_cast<size_t>(thread.fiber)].holds(address) ||
         within(&executing->shown, sizeof executing->shown) || within(&current, sizeof current) ||
         within(launch.arguments, launch.argument_bytes) || in_program(address) || is_pinned(address);
}

void read_cell(Cell& cell, Access now, const Thread& thread, uintptr_t address, size_t bytes) {
  if (!(cell.flags & kWritten)) found("read of memory never written", address, bytes, nullptr);
  if (concurrent(cell.writer, now, thread))
    found("data race, read after write", address, bytes, &cell.writer);
  if (!concurrent(cell.reader, now, thread)) {
    cell.reader = now;
    if (!concurrent(cell.other_reader, now, thread)) cell.other_reader = {};
  } else {
    cell.other_reader = now;
  }
}

void write_cell(Cell& cell, Access now, const Thread& thread, uintptr_t address, size_t bytes) {
  if (now.atomic() && !(cell.flags & kWritten))
    found("atomic on memory never written", address, bytes, nullptr);
  if (concurrent(cell.writer, now, thread))
    found("data race, write after write", address, bytes, &cell.writer);
  for (const Access& reader : {cell.reader, cell.other_reader})
    if (concurrent(reader, now, thread)) found("data race, write after read", address, bytes, &reader);
  cell.writer = now;
  cell.flags |= kWritten;
}

void access(uintptr_t address, size_t bytes, bool write, bool atomic, bool landing = false) {
  if (!current || !executing) return;
  const Thread& thread = *current;
  Cell* cell = cell_of(address);
  if (!cell) {
    if (!may_touch(address, thread)) found("host memory used by a kernel", address, bytes, nullptr);
    return;
  }
  for (uintptr_t at = address & ~uintptr_t{1}; at < address + bytes; at += 2, cell++) {
    const unsigned touched = (at >= address ? 1u : 0u) | (at + 1 < address + bytes ? 2u : 0u);
    if (!(cell->flags & kAllocated))
      found(write ? "write out of bounds" : "read out of bounds", address, bytes, nullptr);
    if (cell->flags & kInFlight && !landing)
      found("cp.async still under way (a wait is missing)", address, bytes, nullptr);
    const Access now = Access::by(thread, clock_now, touched, atomic);
    if (write)
      write_cell(*cell, now, thread, address, bytes);
    else
      read_cell(*cell, now, thread, address, bytes);
  }
}

}  // namespace

bool enabled() { return instrumented; }

void device_allocated(const void* address, size_t bytes) {
  for_cells(address, bytes, [](Cell& cell) { cell = {{}, {}, {}, kAllocated, 0}; });
}
void device_freed(const void* address, size_t bytes) {
  for_cells(address, bytes, [](Cell& cell) { cell = {}; });
}
void device_written(const void* address, size_t bytes) {
  for_cells(address, bytes, [](Cell& cell) { cell.flags |= kWritten; });
}
void shared_allocated(const void* address, size_t bytes) { device_allocated(address, bytes); }

bool written(const void* address, size_t bytes) {
  bool all = true;
  for_cells(address, bytes, [&](const Cell& cell) { all &= (cell.flags & kWritten) != 0; });
  return all;
}

void launch_begins() {
  launch_time = ++clock_now;
  releases.clear();
}

void block_begins(const Runner& runner) {
  if (!instrumented) return;
  executing = &runner;
  if (!shared_cells) shared_cells = map_cells(kArenaBytes);
  std::fill_n(shared_cells, kArenaBytes / 2, Cell{});
  acquired.clear();
  runner.block.barrier_time = runner.block.start_time = ++clock_now;
}

void barrier(Block& block) {
  if (instrumented) block.barrier_time = ++clock_now;
}

void warp_barrier(Thread& thread, uint32_t lanes) {
  if (!instrumented) return;
  Thread* first = &thread - thread.lane;
  clock_now++;
  for (int lane = 0; lane < kWarpSize; lane++)
    if (lanes >> lane & 1) first[lane].warp_time = clock_now;
}

void async_issued(const void* to, size_t bytes) {
  access(reinterpret_cast<uintptr_t>(to), bytes, true, false);
  for_cells(to, bytes, [](Cell& cell) { cell.flags |= kInFlight; });
}

void async_landed(const void* to, size_t bytes) {
  access(reinterpret_cast<uintptr_t>(to), bytes, true, false, true);
  for_cells(to, bytes, [](Cell& cell) { cell.flags &= ~static_cast<uint32_t>(kInFlight); });
}

}  // namespace checker

bool has_checker() { return checker::instrumented; }

void note_read(const void* address, size_t bytes) {
  if (checker::instrumented) checker::access(reinterpret_cast<uintptr_t>(address), bytes, false, false);
}

void note_write(void* address, size_t bytes) {
  if (checker::instrumented) checker::access(reinterpret_cast<uintptr_t>(address), bytes, true, false);
}

void fence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (checker::instrumented) current->fence_time = ++checker::clock_now;
}

void note_atomic(void* address, size_t bytes) {
  if (!checker::instrumented) return;
  const uintptr_t at = reinterpret_cast<uintptr_t>(address);
  checker::access(at, bytes, true, true);
  auto& released = checker::releases[at];
  checker::acquired.insert(checker::acquired.end(), released.begin(), released.end());
  const Block& block = *current->block;
  if (current->fence_time)
    released.push_back({block.number & 0x7fff, current->number, current->fence_time,
                        std::min(block.barrier_time, current->fence_time)});
}

}  // namespace rmoe::emulator

// The calls that -fsanitize=thread puts into kernels. The first one tells that there are such kernels.
extern "C" {

void __tsan_init() { rmoe::emulator::checker::instrumented = true; }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

#define RMOE_CHECKED_ACCESS(kind, bytes)                                                        \
  void __tsan_##kind##read##bytes(void* address) { rmoe::emulator::note_read(address, bytes); } \
  void __tsan_##kind##write##bytes(void* address) { rmoe::emulator::note_write(address, bytes); }
#define RMOE_CHECKED_SIZES(kind) \
  RMOE_CHECKED_ACCESS(kind, 1)   \
  RMOE_CHECKED_ACCESS(kind, 2)   \
  RMOE_CHECKED_ACCESS(kind, 4)   \
  RMOE_CHECKED_ACCESS(kind, 8)   \
  RMOE_CHECKED_ACCESS(kind, 16)
RMOE_CHECKED_SIZES()
RMOE_CHECKED_SIZES(unaligned_)
RMOE_CHECKED_SIZES(volatile_)

void __tsan_read_range(void* address, unsigned long bytes) { rmoe::emulator::note_read(address, bytes); }
void __tsan_write_range(void* address, unsigned long bytes) { rmoe::emulator::note_write(address, bytes); }

}  // extern "C"
