#include "engine/cuda_emulator/watchdog.hpp"

#include "engine/cuda_emulator/emulator.hpp"
#include "engine/cuda_emulator/runner.hpp"

#include <chrono>
#include <csignal>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <vector>

namespace rmoe::emulator {
namespace {

constexpr int kSignal = SIGURG;  // ignored by default, used by nothing here

struct Watched {
  std::mutex mutex;
  std::vector<Runner*> runners;
};

Watched& watched() {
  static Watched* all = new Watched();
  return *all;
}

/// Runs on the stack of the thread that takes too long, between two of its instructions.
void interrupted(int) {
  if (current && runner().began_ns.load() != 0)
    kernel_fails(cudaErrorLaunchTimeout,
                 "watchdog: the block did not end within %.1f s; it spins or works too long",
                 options().watchdog_s);
}

[[noreturn]] void keep_watch() {
  for (;;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const int64_t now = std::chrono::steady_clock::now().time_since_epoch().count();
    const int64_t limit = static_cast<int64_t>(options().watchdog_s * 1e9);
    std::lock_guard lock(watched().mutex);
    for (Runner* runner : watched().runners) {
      const int64_t began = runner->began_ns.load();
      if (began && now - began > limit) pthread_kill(runner->host_thread, kSignal);
    }
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
  std::lock_guard lock(watched().mutex);
  watched().runners.push_back(&runner);
}

}  // namespace rmoe::emulator
