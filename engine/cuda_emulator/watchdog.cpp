#include "engine/cuda_emulator/watchdog.hpp"

#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/runner.hpp"

#include <chrono>
#include <csignal>
#include <ctime>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <vector>

namespace rmoe::emulator {
namespace {

constexpr int kSignal = SIGURG;  // ignored by default, used by nothing here

/// A runner and its block when it was last seen. Time is what its thread had of a processor: neither a busy
/// machine nor a process that is stopped for a while makes a block too slow.
struct Watch {
  Runner* runner;
  clockid_t clock;
  int64_t block = 0, began_ns = 0;

  bool takes_too_long() {
    timespec time;
    const int64_t running = runner->running;
    if (running == 0 || clock_gettime(clock, &time) != 0) return false;
    const int64_t now = time.tv_sec * 1'000'000'000 + time.tv_nsec;
    if (running != block) block = running, began_ns = now;
    return now - began_ns > static_cast<int64_t>(options().watchdog_s * 1e9);
  }
};

struct Watched {
  std::mutex mutex;
  std::vector<Watch> runners;
};

Watched& watched() {
  static Watched* all = new Watched();
  return *all;
}

/// Runs on the stack of the thread that takes too long, between two of its instructions.
void interrupted(int) {
  if (current && runner().running != 0)
    kernel_fails(cudaErrorLaunchTimeout,
                 "watchdog: the block did not end within %.1f s of computing; it spins or works too long",
                 options().watchdog_s);
}

[[noreturn]] void keep_watch() {
  for (;;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::lock_guard lock(watched().mutex);
    for (Watch& watch : watched().runners)
      if (watch.takes_too_long()) pthread_kill(watch.runner->host_thread, kSignal);
  }
}

void start() {
  struct sigaction action = {};
  action.sa_handler = interrupted;
  action.sa_flags = SA_NODEFER | SA_RESTART;  // the handler does not return: the signal must stay open
  sigaction(kSignal, &action, nullptr);
  std::thread(keep_watch).detach();
}

}  // namespace

void watch(Runner& runner) {
  static std::once_flag started;
  std::call_once(started, start);
  clockid_t clock;
  pthread_getcpuclockid(runner.host_thread, &clock);
  std::lock_guard lock(watched().mutex);
  watched().runners.push_back({&runner, clock});
}

}  // namespace rmoe::emulator
