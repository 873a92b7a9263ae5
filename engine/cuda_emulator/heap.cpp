#include "engine/cuda_emulator/heap.hpp"

#include "engine/cuda_emulator/checker.hpp"
#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/poison.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <sys/mman.h>

namespace rmoe::emulator {
namespace {

constexpr size_t kAlignment = 256;  // what cudaMalloc gives
constexpr size_t kGuard = 512;      // bytes on either side
constexpr unsigned char kGuardByte = 0xa5;
constexpr size_t kQuarantine = 4;  // freed blocks of a size that rest before one is used again

size_t rounded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// The offset of the first damaged byte relative to the allocation, if any.
bool damaged(const unsigned char* memory, size_t bytes, ptrdiff_t* offset) {
  const auto scan = [&](const unsigned char* begin, const unsigned char* end) {
    const auto* bad = std::find_if(begin, end, [](unsigned char byte) { return byte != kGuardByte; });
    *offset = bad - memory;
    return bad != end;
  };
  return scan(memory - kGuard, memory) || scan(memory + bytes, memory + rounded(bytes) + kGuard);
}

class Heap {
 public:
  Heap() {
    void* wanted = reinterpret_cast<void*>(kHeapBase);
    void* got = mmap(wanted, kHeapSpan, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != wanted) {
      std::perror("cuda emulator: device memory");
      std::abort();
    }
  }

  void* allocate(size_t bytes) {
    const size_t size = rounded(bytes);
    unsigned char* memory = reuse(size);
    if (!memory) {
      if (used_ + bytes > limit() || top_ + size + 2 * kGuard > kHeapSpan) return nullptr;
      memory = reinterpret_cast<unsigned char*>(kHeapBase) + top_ + kGuard;
      top_ += size + 2 * kGuard;
    }
    unpoison(memory - kGuard, size + 2 * kGuard);
    fill_guards(memory, bytes);
    std::memset(memory, 0xff, bytes);
    poison_guards(memory, bytes);
    checker::device_allocated(memory, bytes);
    live_[memory] = bytes;
    used_ += bytes;
    return memory;
  }

  bool free(unsigned char* memory) {
    const auto found = live_.find(memory);
    if (found == live_.end()) return false;
    const size_t bytes = found->second;
    if (const std::string text = damage(memory, bytes); !text.empty()) {
      std::fprintf(stderr, "cuda emulator: %s\n", text.c_str());
      std::abort();
    }
    std::memset(memory, 0xff, bytes);
    poison(memory, bytes);
    checker::device_freed(memory, bytes);
    freed_[rounded(bytes)].push_back(memory);
    used_ -= bytes;
    live_.erase(found);
    return true;
  }

  bool contains(const unsigned char* pointer, size_t bytes) const {
    auto found = live_.upper_bound(const_cast<unsigned char*>(pointer));
    if (found == live_.begin()) return false;
    --found;
    return pointer + bytes <= found->first + found->second;
  }

  std::string take_damage() {
    for (const auto& [memory, bytes] : live_) {
      const std::string text = damage(memory, bytes);
      if (!text.empty()) fill_guards(memory, bytes);
      poison_guards(memory, bytes);
      if (!text.empty()) return text;
    }
    return "";
  }

  size_t free_bytes() const { return limit() - used_; }
  std::mutex mutex;

 private:
  static size_t limit() { return static_cast<size_t>(options().memory_mb) << 20; }

  unsigned char* reuse(size_t size) {
    auto& resting = freed_[size];
    if (resting.size() <= kQuarantine) return nullptr;
    unsigned char* memory = resting.front();
    resting.pop_front();
    return memory;
  }

  static void fill_guards(unsigned char* memory, size_t bytes) {
    std::memset(memory - kGuard, kGuardByte, kGuard);
    std::memset(memory + bytes, kGuardByte, rounded(bytes) - bytes + kGuard);
  }
  static void poison_guards(unsigned char* memory, size_t bytes) {
    poison(memory - kGuard, kGuard);
    poison(memory + bytes, rounded(bytes) - bytes + kGuard);
  }

  /// What is wrong with the guard bands, which are left open; "" if they are whole.
  static std::string damage(unsigned char* memory, size_t bytes) {
    ptrdiff_t offset = 0;
    unpoison(memory - kGuard, rounded(bytes) + 2 * kGuard);
    if (!damaged(memory, bytes, &offset)) return "";
    return "byte " + std::to_string(offset) + " of an allocation of " + std::to_string(bytes) +
           " bytes was overwritten: a kernel writes out of bounds";
  }

  size_t top_ = 0, used_ = 0;
  std::map<unsigned char*, size_t> live_;
  std::map<size_t, std::deque<unsigned char*>> freed_;
};

/// Neither is ever destroyed: streams may still hold work when the program ends.
Heap& heap() {
  static Heap* the = new Heap();
  return *the;
}

struct Pinned {
  std::mutex mutex;
  std::map<uintptr_t, size_t> live;
};
Pinned& pinned() {
  static Pinned* the = new Pinned();
  return *the;
}

}  // namespace

void* device_allocate(size_t bytes) {
  std::lock_guard lock(heap().mutex);
  return heap().allocate(bytes);
}

bool device_free(void* memory) {
  std::lock_guard lock(heap().mutex);
  return heap().free(static_cast<unsigned char*>(memory));
}

size_t device_bytes_free() {
  std::lock_guard lock(heap().mutex);
  return heap().free_bytes();
}

bool is_device(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) - kHeapBase < kHeapSpan; }

bool in_device_memory(const void* pointer, size_t bytes) {
  if (!is_device(pointer)) return false;
  std::lock_guard lock(heap().mutex);
  return heap().contains(static_cast<const unsigned char*>(pointer), bytes);
}

std::string take_damage() {
  std::lock_guard lock(heap().mutex);
  return heap().take_damage();
}

void* pinned_allocate(size_t bytes) {
  void* memory = std::aligned_alloc(kAlignment, rounded(bytes));
  std::lock_guard lock(pinned().mutex);
  pinned().live[reinterpret_cast<uintptr_t>(memory)] = bytes;
  return memory;
}

bool pinned_free(void* memory) {
  std::lock_guard lock(pinned().mutex);
  if (!pinned().live.erase(reinterpret_cast<uintptr_t>(memory))) return false;
  std::free(memory);
  return true;
}

bool is_pinned(uintptr_t address) {
  std::lock_guard lock(pinned().mutex);
  auto found = pinned().live.upper_bound(address);
  return found != pinned().live.begin() && address - std::prev(found)->first < std::prev(found)->second;
}

std::string describe(const void* pointer) {
  if (!pointer) return "a null pointer";
  if (is_pinned(reinterpret_cast<uintptr_t>(pointer))) return "a pinned host pointer";
  if (!is_device(pointer)) return "a host pointer";
  return in_device_memory(pointer, 0) ? "a device pointer" : "a pointer to freed device memory";
}

}  // namespace rmoe::emulator
