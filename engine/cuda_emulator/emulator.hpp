// What a test may set and see of the emulated device: a CUDA GPU executed on the CPU. Programs under test
// need nothing of this: they include the vendor's headers and are linked with the emulator instead of
// libcudart.
#pragma once

#include <cstdint>
#include <string>

namespace rmoe::emulator {

/// Read once from RMOE_EMULATOR_<NAME IN CAPITALS>; a test may change them between launches.
struct Options {
  // 0: threads and blocks in order; else shuffled. Even: cp.async and streams run as late as they may; odd:
  // early.
  uint64_t seed = 0;
  int multiprocessors = 0;  // 0: as many as the architecture has
  int architecture = 80;    // 80 (A100) or 90 (H100)
  int devices = 1;
  int host_threads = 0;  // that execute blocks; 0: as many as there are cores. The checker uses one.
  int64_t memory_mb = 16384;
  double watchdog_s = 60;            // longest time one block may compute
  double collective_timeout_s = 20;  // longest time a rank waits for the others
};
Options& options();

struct Counters {
  uint64_t launches = 0, blocks = 0, threads = 0;
  uint64_t host_synchronizations = 0;  // calls that made the host wait for the device
  uint64_t allocations = 0;            // cudaMalloc and cudaMallocHost
};
Counters counters();
void reset_counters();

/// True if the kernels in this program were compiled with the checker's instrumentation.
bool has_checker();

/// What the last error of this host thread was about; empty after none.
const std::string& last_message();

/// Describes the first damaged guard band of a live allocation and mends it; "" if all are whole. Damage that
/// nobody asks for ends the program when the allocation is freed.
std::string take_damage();

}  // namespace rmoe::emulator
