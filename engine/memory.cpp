#include "engine/memory.hpp"

#include "engine/device_memory.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <map>
#include <mutex>
#include <omp.h>
#include <sys/mman.h>
#include <vector>

namespace rmoe::memory {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kPage = 4096;
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kGuardBytes = 64;
constexpr unsigned char kPoison = 0xff;  // all ones is NaN in every float type and -1 as an integer
constexpr unsigned char kGuard = 0xa5;

/// Four size classes per doubling, so that sizes near each other share blocks: at most a quarter of a block
/// is wasted. Of large blocks, whose sizes are the same every step, 64: at most a 64th.
int64_t size_class(int64_t bytes) {
  if (bytes <= 4 * kAlignment) return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const int64_t classes = bytes < kHugePage ? 4 : 64;
  const int64_t step = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(bytes - 1))) / classes;
  return (bytes + step - 1) / step * step;
}

struct Pool {
  std::mutex mutex;
  std::map<int64_t, std::vector<void*>> free;  // by size class
  Stats stats[kDeviceCount];                   // but for GPUs
  bool debug = false;
};

/// Never destroyed: tensors in static storage may be freed after it would be.
Pool& pool() {
  static Pool* instance = [] {
    // GEMM packs its panels into malloc'ed buffers; kept in the heap they cost no page fault after the first
    // call.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    return new Pool;
  }();
  return *instance;
}

void* from_system(int64_t bytes) {
  const bool huge = bytes >= kHugePage;
  const int64_t alignment = huge ? kHugePage : kAlignment;
  void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  RMOE_CHECK(block, "memory: the system has no ", bytes, " bytes left; lower the batch or the model size");
  if (huge) madvise(block, bytes, MADV_HUGEPAGE);
  // Touched now: a block that this step only made and a later one uses would cost that one its page faults.
  for (int64_t i = 0; i < bytes; i += kPage) static_cast<char*>(block)[i] = 0;
  return block;
}

/// Takes a block of this size class. What one task of a parallel loop needs, others will need at the same
/// time, sooner or later: a block for every thread is made, so that it does not depend on luck which step
/// meets the last of them.
void* take(Pool& p, int64_t bytes) {
  auto& blocks = p.free[bytes];
  if (blocks.empty()) {
    const int count = omp_in_parallel() ? omp_get_num_threads() : 1;
    for (int i = 0; i < count; ++i) blocks.push_back(from_system(bytes + kGuardBytes));
    Stats& stats = p.stats[static_cast<int>(Device::cpu)];
    stats.reserved += count * bytes;
    ++stats.system_calls;
  }
  void* block = blocks.back();
  blocks.pop_back();
  return block;
}

void check_guard(const void* block, int64_t bytes) {
  const auto* guard = static_cast<const unsigned char*>(block) + bytes;
  for (int64_t i = 0; i < kGuardBytes; ++i) {
    if (guard[i] == kGuard) continue;
    std::fprintf(stderr, "memory: byte %ld behind a block of %ld bytes was overwritten\n", long(i),
                 long(bytes));
    std::abort();
  }
}

void count(Stats& stats, int64_t bytes) {
  stats.in_use += bytes;
  stats.peak = std::max(stats.peak, stats.in_use);
}

void* take_from_cache(Pool& p, int64_t bytes) {
  const int64_t rounded = size_class(bytes);
  void* block = take(p, rounded);
  if (p.debug) {
    std::memset(block, kPoison, bytes);
    std::memset(static_cast<char*>(block) + bytes, kGuard, rounded - bytes + kGuardBytes);
  }
  return block;
}

}  // namespace

void* allocate(int64_t bytes, Device device) {
  if (bytes == 0) return nullptr;
  if (device == Device::cuda) return device_memory().allocate(bytes);
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  count(p.stats[static_cast<int>(device)], size_class(bytes));
  return device == Device::meta ? nullptr : take_from_cache(p, bytes);
}

void release(void* block, int64_t bytes, Device device) noexcept {
  if (bytes == 0) return;
  if (device == Device::cuda) return device_memory().release(block, bytes);
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  count(p.stats[static_cast<int>(device)], -size_class(bytes));
  if (device == Device::meta) return;
  if (p.debug) check_guard(block, bytes);
  p.free[size_class(bytes)].push_back(block);
}

void reserve_on_gpu(int64_t bytes) { device_memory().reserve(bytes); }
void give_back_unused() { device_memory().give_back_unused(); }

Stats stats(Device device) {
  if (device == Device::cuda) return device_memory().stats();
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  return p.stats[static_cast<int>(device)];
}

void reset_peak(Device device) {
  if (device == Device::cuda) return device_memory().reset_peak();
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  Stats& stats = p.stats[static_cast<int>(device)];
  stats.peak = stats.in_use;
}

void set_debug(bool on) {
  device_memory().set_debug(on);
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  p.debug = on;
}

}  // namespace rmoe::memory
