#include "engine/cuda_emulator/recording.hpp"

#include "engine/cuda_emulator/backtrace.hpp"
#include "engine/cuda_emulator/heap.hpp"

#include <atomic>
#include <cstring>
#include <mutex>

namespace rmoe::emulator {
namespace {

std::atomic<bool> recording = false;
std::mutex mutex;
std::vector<Enqueued> recorded;

void add(Enqueued enqueued) {
  const std::lock_guard lock(mutex);
  recorded.push_back(std::move(enqueued));
}

}  // namespace

void start_recording() {
  const std::lock_guard lock(mutex);
  recorded.clear();
  recording = true;
}

std::vector<Enqueued> stop_recording() {
  const std::lock_guard lock(mutex);
  recording = false;
  return std::move(recorded);
}

bool is_device_address(uint64_t word) { return is_device(reinterpret_cast<const void*>(word)); }

void record(const Launch& launch) {
  if (!recording) return;
  const dim3 g = launch.grid, b = launch.block;
  std::vector<uint64_t> words((launch.argument_bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t));
  std::memcpy(words.data(), launch.arguments, launch.argument_bytes);
  add({function_at(reinterpret_cast<uintptr_t>(launch.kernel)),
       {g.x, g.y, g.z, b.x, b.y, b.z, launch.dynamic_bytes},
       std::move(words)});
}

void record(const char* what, std::vector<uint64_t> shape, std::vector<const void*> pointers,
            std::vector<uint64_t> values) {
  if (!recording) return;
  for (const void* pointer : pointers) values.push_back(reinterpret_cast<uint64_t>(pointer));
  add({what, std::move(shape), std::move(values)});
}

}  // namespace rmoe::emulator
