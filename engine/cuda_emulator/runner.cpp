#include "engine/cuda_emulator/runner.hpp"

#include "engine/cuda_emulator/checker.hpp"
#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/poison.hpp"
#include "engine/cuda_emulator/watchdog.hpp"

#include <algorithm>
#include <new>
#include <numeric>
#include <pthread.h>
#include <sys/mman.h>

namespace rmoe::emulator {
namespace {

constexpr size_t kGuardBytes = 64;  // between shared variables

void* map_memory(size_t bytes) {
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
}

}  // namespace

Runner::Runner()
    : shown(*new (map_memory(sizeof(Shown))) Shown()),
      block(shown.block),
      threads(shown.threads),
      copies(static_cast<AsyncCopies::Copy*>(
          map_memory(kMaxThreads * AsyncCopies::kMaxCopies * sizeof(*copies)))),
      host(host_stack()),
      arena(static_cast<char*>(map_memory(kArenaBytes))),
      host_thread(pthread_self()) {
  watch(*this);
}

thread_local Runner* this_runner __attribute__((tls_model("initial-exec"))) = nullptr;

/// Never destroyed: the watchdog may look at it while the program ends.
Runner& new_runner() {
  this_runner = new Runner();
  return *this_runner;
}

uint64_t Runner::random() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

void Runner::prepare_threads() {
  const dim3 dim = launch->block;
  for (int i = 0; i < block.threads; i++) {
    Thread& thread = threads[i];
    const unsigned n = static_cast<unsigned>(i);
    thread.index = {n % dim.x, n / dim.x % dim.y, n / dim.x / dim.y};
    thread.number = i;
    thread.lane = i % kWarpSize;
    thread.warp = &shown.warps[i / kWarpSize];
    thread.block = &block;
    thread.state = ThreadState::fresh;
    thread.warp_time = thread.fence_time = 0;
    thread.async.copies = copies + i * AsyncCopies::kMaxCopies;
    thread.async.count = thread.async.groups = 0;
  }
  for (int first = 0; first < block.threads; first += kWarpSize) {
    Warp& warp = shown.warps[first / kWarpSize];
    const int members = std::min(kWarpSize, block.threads - first);
    warp.members = members == kWarpSize ? ~0u : (1u << members) - 1;
    warp.exited = 0;
    for (MeetingPlace& place : warp.places) place.mask = place.arrived = place.readers = place.generation = 0;
    warp.places[0].mask = ~0u;
  }
  std::iota(order, order + block.threads, 0);
  if (seed)
    for (int i = block.threads - 1; i > 0; i--)
      std::swap(order[i], order[random() % static_cast<uint64_t>(i + 1)]);
  begun = 0;
  ring_head = ring_count = 0;
}

void Runner::prepare_shared_memory() {
  variables.clear();
  static_bytes = 0;
  unpoison(arena, kArenaBytes);
  // NaN, as far as this block can come.
  std::memset(arena, 0xff, std::min(kArenaBytes, launch->dynamic_bytes + kStaticLimit + 32 * kGuardBytes));
  poison(arena, kArenaBytes);
  unpoison(arena, launch->dynamic_bytes);
  checker::block_begins(*this);
  checker::shared_allocated(arena, launch->dynamic_bytes);
  arena_used = launch->dynamic_bytes;
  block.dynamic_shared = arena;
}

void Runner::prepare_block(uint64_t number) {
  block = Block{};
  block.dim = launch->block;
  block.grid = launch->grid;
  block.number = number;
  const unsigned x = block.grid.x, y = block.grid.y;
  block.index = {static_cast<unsigned>(number % x), static_cast<unsigned>(number / x % y),
                 static_cast<unsigned>(number / x / y)};
  block.threads = block.live = static_cast<int>(block.dim.x * block.dim.y * block.dim.z);
  block.all = 1;
  seed = options().seed;
  random_state = (seed + 1) * 0x9e3779b97f4a7c15u + launch->number * 7919 + number * 104729 + 1;
  for (int i = 0; i < 4; i++) random();
}

void Runner::run(const Launch& what, uint64_t number) {
  launch = &what;
  error = cudaSuccess;
  prepare_block(number);
  prepare_threads();
  prepare_shared_memory();
  running = ++blocks_run;
  run_threads();
  running = 0;
  if (error != cudaSuccess) abandon_fibers();
}

void* shared_variable(const void* key, size_t bytes, size_t alignment, Location place) {
  Runner& r = runner();
  for (const Runner::SharedVariable& variable : r.variables)
    if (variable.key == key) return variable.address;
  r.static_bytes += bytes;
  if (r.static_bytes > kStaticLimit)
    kernel_fails(cudaErrorInvalidConfiguration,
                 "static shared memory: %zu bytes, at most %zu may be had, at %s:%u", r.static_bytes,
                 kStaticLimit, place.file_name(), place.line());
  const size_t total = r.launch->dynamic_bytes + r.static_bytes, limit = shared_memory_limit();
  if (total > limit)
    kernel_fails(cudaErrorInvalidConfiguration,
                 "shared memory of the block: %zu bytes, at most %zu may be had, at %s:%u", total, limit,
                 place.file_name(), place.line());
  char* address = r.arena + (r.arena_used + kGuardBytes + alignment - 1) / alignment * alignment;
  r.arena_used = static_cast<size_t>(address - r.arena) + bytes;
  if (r.arena_used > kArenaBytes)
    kernel_fails(cudaErrorInvalidConfiguration, "too many shared variables, at %s:%u", place.file_name(),
                 place.line());
  unpoison(address, bytes);
  checker::shared_allocated(address, bytes);
  r.variables.push_back({key, address});
  return address;
}

}  // namespace rmoe::emulator
