// Ends this process when training cannot go on: another rank has died, a collective has failed, or a step
// takes too long because somebody does not come. A rank that only waited would hang until somebody looks.
#pragma once

#include "engine/comm/communicator.hpp"

#include <atomic>
#include <chrono>

namespace rmoe {

class Watchdog {
 public:
  struct Options {
    double step_s = 600, first_step_s = 1800;  // the first one also allocates and chooses algorithms
  };
  Watchdog(Store& store, Communicator& communicator, const Options& options);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// Step number `step` begins; the next one must begin in time.
  void step(int64_t step);
  /// No deadline until then: validation, checkpoints.
  void rest();

 private:
  using Clock = std::chrono::steady_clock;

  void watch();
  void look();
  [[noreturn]] void end(const std::string& why);

  Store& store_;
  Communicator& communicator_;
  const Options options_;
  std::atomic<int64_t> step_ = 0;
  std::atomic<bool> ending_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  double limit_s_ = 0;  // of the step under way
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point failed_at_ = Clock::time_point::max();
  int64_t reported_ = 0;  // collectives
  std::thread thread_;
};

}  // namespace rmoe
