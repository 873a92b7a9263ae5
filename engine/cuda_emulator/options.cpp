#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/emulator.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>

namespace rmoe::emulator {
namespace {

template <class T>
void read(T& option, const char* name) {
  const std::string variable = std::string("RMOE_EMULATOR_") + name;
  if (const char* text = std::getenv(variable.c_str())) option = static_cast<T>(std::atof(text));
}

Options from_environment() {
  Options o;
  read(o.seed, "SEED");
  read(o.multiprocessors, "MULTIPROCESSORS");
  read(o.architecture, "ARCHITECTURE");
  read(o.devices, "DEVICES");
  read(o.host_threads, "HOST_THREADS");
  read(o.memory_mb, "MEMORY_MB");
  read(o.watchdog_s, "WATCHDOG_S");
  read(o.collective_timeout_s, "COLLECTIVE_TIMEOUT_S");
  return o;
}

struct {
  std::atomic<uint64_t> launches, blocks, threads, host_synchronizations, allocations;
} counted;

}  // namespace

Options& options() {
  static Options the = from_environment();
  return the;
}

int multiprocessors() {
  if (options().multiprocessors > 0) return options().multiprocessors;
  return options().architecture >= 90 ? 132 : 108;
}

size_t shared_memory_limit() { return (options().architecture >= 90 ? size_t{227} : size_t{163}) << 10; }

Counters counters() {
  return {counted.launches, counted.blocks, counted.threads, counted.host_synchronizations,
          counted.allocations};
}

void reset_counters() {
  counted.launches = counted.blocks = counted.threads = counted.host_synchronizations = counted.allocations =
      0;
}

void count_launch(uint64_t blocks, uint64_t threads) {
  counted.launches++;
  counted.blocks += blocks;
  counted.threads += threads;
}
void count_host_synchronization() { counted.host_synchronizations++; }
void count_allocation() { counted.allocations++; }

}  // namespace rmoe::emulator
