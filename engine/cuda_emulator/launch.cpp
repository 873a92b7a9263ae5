#include "engine/cuda_emulator/launch.hpp"

#include "engine/cuda_emulator/checker.hpp"
#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/errors.hpp"
#include "engine/cuda_emulator/heap.hpp"
#include "engine/cuda_emulator/recording.hpp"
#include "engine/cuda_emulator/runner.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

namespace rmoe::emulator {
namespace {

constexpr size_t kUsualDynamicLimit = 48 << 10;  // above it a kernel must ask

std::mutex limits_mutex;
std::map<const void*, size_t>& dynamic_limits() {
  static std::map<const void*, size_t> limits;
  return limits;
}

size_t dynamic_limit(const void* kernel) {
  std::lock_guard lock(limits_mutex);
  const auto found = dynamic_limits().find(kernel);
  return found == dynamic_limits().end() ? kUsualDynamicLimit : found->second;
}

/// What CUDA would refuse; "" if nothing.
std::string mistake(const Launch& launch) {
  const dim3 g = launch.grid, b = launch.block;
  const uint64_t threads = uint64_t{b.x} * b.y * b.z;
  if (threads == 0 || threads > kMaxThreads || b.z > 64)
    return "block " + std::to_string(b.x) + "x" + std::to_string(b.y) + "x" + std::to_string(b.z) +
           ": 1 to 1024 threads may be had";
  if (!g.x || !g.y || !g.z || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535)
    return "grid " + std::to_string(g.x) + "x" + std::to_string(g.y) + "x" + std::to_string(g.z) +
           ": at most 2147483647x65535x65535 and none empty";
  if (launch.dynamic_bytes > dynamic_limit(launch.kernel))
    return std::to_string(launch.dynamic_bytes) + " bytes of dynamic shared memory, allowed are " +
           std::to_string(dynamic_limit(launch.kernel)) +
           " (more than 48 KiB: cudaFuncSetAttribute MaxDynamicSharedMemorySize)";
  return "";
}

std::string where(const Launch& launch) {
  return std::string(launch.name) + " launched at " + launch.place.file_name() + ":" +
         std::to_string(launch.place.line());
}

/// Blocks in order, or with a seed in some other order that reaches each once (seed 1: backwards).
class BlockOrder {
 public:
  explicit BlockOrder(uint64_t blocks) : blocks_(blocks) {
    const uint64_t seed = options().seed;
    if (seed == 0) return;
    first_ = seed * 2654435761u % blocks;
    step_ = std::max<uint64_t>(blocks - 1, 1) / ((seed - 1) % 16 + 1);
    while (step_ > 1 && std::gcd(step_, blocks) != 1) step_--;
    step_ = std::max<uint64_t>(step_, 1);
  }
  uint64_t operator[](uint64_t i) const { return (first_ + i * step_) % blocks_; }

 private:
  uint64_t blocks_, first_ = 0, step_ = 1;
};

int host_threads(uint64_t blocks, uint64_t threads) {
  constexpr uint64_t kWorthSharing = 2048;
  if (checker::enabled() || threads < kWorthSharing) return 1;
  const int wanted = options().host_threads > 0 ? options().host_threads
                                                : static_cast<int>(std::thread::hardware_concurrency());
  return static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(wanted), blocks));
}

void run(const Launch& launch) {
  static std::mutex checker_mutex;  // the checker follows one kernel at a time
  std::unique_lock lock(checker_mutex, std::defer_lock);
  if (checker::enabled()) lock.lock();
  checker::launch_begins();
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const uint64_t threads = blocks * launch.block.x * launch.block.y * launch.block.z;
  count_launch(blocks, threads);
  const BlockOrder order(blocks);
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  cudaError_t error = cudaSuccess;
  std::string message;
#pragma omp parallel num_threads(host_threads(blocks, threads))
  for (uint64_t i = next++; i < blocks && !failed; i = next++) {
    Runner& r = runner();
    r.run(launch, order[i]);
    if (r.error != cudaSuccess && !failed.exchange(true)) {
      error = r.error;
      message = r.message;
    }
  }
  if (failed) throw KernelError(error, message);
}

}  // namespace

void enqueue_launch(Launch launch, cudaStream_t stream, const PointerArgument* pointers, int pointer_count) {
  static std::atomic<uint64_t> number{1};
  Device& device = current_device();
  const std::string wrong = mistake(launch);
  if (!wrong.empty()) {
    report(cudaErrorInvalidConfiguration, wrong + "; " + where(launch));
    return;
  }
  if (!device.knows(stream)) {
    report(cudaErrorInvalidResourceHandle, "no such stream; " + where(launch));
    return;
  }
  std::string bad_pointer;
  for (int i = 0; i < pointer_count && bad_pointer.empty(); i++) {
    const void* p = pointers[i].value;
    const bool fine = !p || in_device_memory(p, 0) || is_pinned(reinterpret_cast<uintptr_t>(p));
    if (!fine) bad_pointer = "argument " + std::to_string(pointers[i].position) + " is " + describe(p);
  }
  record(launch);
  launch.number = number++;
  const char* bytes = static_cast<const char*>(launch.arguments);
  const auto arguments = std::make_shared<std::vector<char>>(bytes, bytes + launch.argument_bytes);
  launch.arguments = arguments->data();
  device.enqueue(stream, [launch, arguments, bad_pointer] {
    if (!bad_pointer.empty()) throw KernelError(cudaErrorIllegalAddress, bad_pointer + "; " + where(launch));
    run(launch);
  });
}

}  // namespace rmoe::emulator

using namespace rmoe::emulator;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
    return report(cudaErrorNotSupported,
                  "cudaFuncSetAttribute: attribute " + std::to_string(attribute) + " is not emulated");
  if (value < 0 || static_cast<size_t>(value) > shared_memory_limit())
    return report(cudaErrorInvalidValue,
                  "cudaFuncSetAttribute: " + std::to_string(value) +
                      " bytes of shared memory, a block of this architecture has at most " +
                      std::to_string(shared_memory_limit()));
  std::lock_guard lock(limits_mutex);
  dynamic_limits()[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

/// By threads and shared memory only: the emulator knows nothing of registers.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          size_t dynamic_bytes) {
  constexpr int kThreads = 2048, kBlocks = 32, kReserved = 1 << 10;
  if (threads <= 0 || static_cast<unsigned>(threads) > kMaxThreads)
    return report(cudaErrorInvalidValue, "occupancy: threads per block");
  const size_t shared = shared_memory_limit() + kReserved;
  const int by_threads = kThreads / ((threads + kWarpSize - 1) / kWarpSize * kWarpSize);
  *blocks = std::min({by_threads, static_cast<int>(shared / (dynamic_bytes + kReserved)), kBlocks});
  return cudaSuccess;
}

}  // extern "C"
