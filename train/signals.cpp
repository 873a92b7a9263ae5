#include "train/signals.hpp"

#include <atomic>
#include <csignal>

namespace rmoe {
namespace {

std::atomic<bool> stop = false;
static_assert(std::atomic<bool>::is_always_lock_free, "set inside a signal handler");

void request_stop(int) { stop = true; }

}  // namespace

void watch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = request_stop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  action.sa_flags |= SA_RESETHAND;  // the second one meets the system's default
  sigaction(SIGINT, &action, nullptr);
}

bool stop_requested() { return stop; }

}  // namespace rmoe
