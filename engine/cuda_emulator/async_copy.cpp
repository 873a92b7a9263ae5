// cp.async. With even seeds the bytes arrive when they are waited for: a missing wait shows as NaN. With odd
// seeds they arrive at once: a buffer that is overwritten while others still read it shows.
#include "engine/cuda_emulator/checker.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/runner.hpp"

#include <algorithm>
#include <cstring>

namespace rmoe::emulator {
namespace {

void land(const AsyncCopies::Copy& copy) {
  if (copy.bytes) note_read(copy.from, static_cast<size_t>(copy.bytes));
  std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
  std::memset(static_cast<char*>(copy.to) + copy.bytes, 0, static_cast<size_t>(copy.zeros));
}

bool early() { return options().seed % 2; }

}  // namespace

void async_copy(void* to, const void* from, int bytes, bool valid, Location place) {
  const Runner& r = runner();
  const char* target = static_cast<const char*>(to);
  if (target < r.arena || target + bytes > r.arena + r.arena_used)
    kernel_fails(cudaErrorIllegalAddress,
                 "cp.async: the destination is not in the block's shared memory, at %s:%u", place.file_name(),
                 place.line());
  const size_t size = static_cast<size_t>(bytes);
  if (reinterpret_cast<uintptr_t>(to) % size || reinterpret_cast<uintptr_t>(from) % size)
    kernel_fails(cudaErrorMisalignedAddress,
                 "cp.async of %d bytes: destination %p or source %p is misaligned, at %s:%u", bytes, to, from,
                 place.file_name(), place.line());
  AsyncCopies& async = current->async;
  if (async.count == AsyncCopies::kMaxCopies)
    kernel_fails(cudaErrorLaunchFailure, "cp.async: more than %d copies under way in one thread",
                 async.count);
  checker::async_issued(to, size);
  const AsyncCopies::Copy copy{to, from, valid ? bytes : 0, valid ? 0 : bytes};
  if (early()) land(copy);
  async.copies[async.count++] = copy;
}

void async_commit() {
  AsyncCopies& async = current->async;
  if (async.groups == AsyncCopies::kMaxGroups)
    kernel_fails(cudaErrorLaunchFailure, "cp.async: more than %d groups under way in one thread",
                 async.groups);
  async.group_end[async.groups++] = async.count;
}

void async_wait(int groups_left) {
  AsyncCopies& async = current->async;
  const int finished = async.groups - groups_left;
  if (finished <= 0) return;
  const int copies = async.group_end[finished - 1];
  for (int i = 0; i < copies; i++) {
    const AsyncCopies::Copy& copy = async.copies[i];
    if (!early()) land(copy);
    checker::async_landed(copy.to, static_cast<size_t>(copy.bytes + copy.zeros));
  }
  std::copy(async.copies + copies, async.copies + async.count, async.copies);
  async.count -= copies;
  for (int i = finished; i < async.groups; i++) async.group_end[i - finished] = async.group_end[i] - copies;
  async.groups = groups_left;
}

}  // namespace rmoe::emulator
