// Executes the blocks of a launch, one at a time per host thread.
#pragma once

#include "engine/cuda_emulator/execution.hpp"
#include "engine/cuda_emulator/fiber.hpp"
#include "engine/cuda_emulator/launch.hpp"

#include <atomic>
#include <deque>
#include <string>
#include <vector>

namespace rmoe::emulator {

inline constexpr size_t kArenaBytes = 256 << 10;  // of shared memory, guard bands included
inline constexpr size_t kStaticLimit = 48 << 10;

/// Everything one host thread needs to execute a block. `shown` is one mapping: kernels read and write it
/// through inlined intrinsics, and the checker must know it from host memory that they have no business with.
struct Runner {
  struct Shown {
    Block block;
    Thread threads[kMaxThreads];
    Warp warps[kMaxThreads / kWarpSize];
  };
  struct SharedVariable {
    const void* key;
    char* address;
  };

  Runner();

  void run(const Launch& launch, uint64_t block_number);

  Shown& shown;
  Block& block;
  Thread* threads;
  AsyncCopies::Copy* copies;  // kMaxCopies for every thread; untouched pages cost nothing
  const Launch* launch = nullptr;

  Fiber host;
  std::deque<Fiber> fibers;
  std::vector<int> idle_fibers;
  int fiber = -1;              // the running one; -1: the host's stack
  Thread* starting = nullptr;  // what a restarted fiber begins with

  // Runnable threads: those not begun, from `order`, and those woken, in a ring.
  int order[kMaxThreads], begun = 0;
  int ring[kMaxThreads];
  unsigned ring_head = 0, ring_count = 0;
  uint64_t seed = 0, random_state = 1;

  char* arena;
  size_t arena_used = 0, static_bytes = 0;
  std::vector<SharedVariable> variables;

  cudaError_t error = cudaSuccess;
  std::string message;

  std::atomic<int64_t> running{0};  // number of the running block among all that ran here; 0: none
  int64_t blocks_run = 0;
  pthread_t host_thread;

  uint64_t random();

 private:
  void prepare_block(uint64_t block_number);
  void prepare_threads();
  void prepare_shared_memory();
};

extern thread_local Runner* this_runner __attribute__((tls_model("initial-exec")));
Runner& new_runner();

/// The runner of this host thread.
inline Runner& runner() { return this_runner ? *this_runner : new_runner(); }

/// Runs the kernel until every thread of the block is done or one has failed.
void run_threads();

/// Gives every live fiber back after a failure.
void abandon_fibers();

}  // namespace rmoe::emulator
