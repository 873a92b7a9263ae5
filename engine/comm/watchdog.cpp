#include "engine/comm/watchdog.hpp"

#include "engine/error.hpp"

#include <future>
#include <unistd.h>

namespace rmoe {
namespace {

constexpr auto kLook = std::chrono::milliseconds(100);
constexpr auto kReason = std::chrono::seconds(1);  // for the store to tell why a collective failed
constexpr auto kAbort = std::chrono::seconds(2);   // NCCL may hang in its abort, too

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(int64_t(seconds * 1e3));
}

}  // namespace

Watchdog::Watchdog(Store& store, Communicator& communicator, const Options& options)
    : store_(store), communicator_(communicator), options_(options) {
  if (store.size() == 1) return;  // nobody to wait for
  store_.on_abort([this](const std::string& why) { end(why); });
  thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  store_.on_abort({});
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::step(int64_t step) {
  if (!thread_.joinable()) return;
  const bool first = step_.exchange(step) == 0;
  {
    const std::lock_guard lock(mutex_);
    limit_s_ = first ? options_.first_step_s : options_.step_s;
    deadline_ = Clock::now() + milliseconds(limit_s_);
  }
  store_.report(step, communicator_.progress().begun);
}

void Watchdog::rest() {
  const std::lock_guard lock(mutex_);
  deadline_ = Clock::time_point::max();
}

void Watchdog::watch() {
  for (std::unique_lock lock(mutex_); !stop_; changed_.wait_for(lock, kLook)) {
    lock.unlock();
    look();
    lock.lock();
  }
}

void Watchdog::look() {
  const CollectiveProgress progress = communicator_.progress();
  if (std::exchange(reported_, progress.begun) != progress.begun) store_.report(step_, progress.begun);
  const auto now = Clock::now();
  if (const std::string failure = communicator_.failure(); !failure.empty()) {
    failed_at_ = std::min(failed_at_, now);
    if (now - failed_at_ > kReason) {
      store_.abort(failure);
      end(failure);
    }
  }
  std::string why;
  {
    const std::lock_guard lock(mutex_);
    if (now < deadline_) return;
    why = concat("the step did not end within ", limit_s_, " s");
  }
  store_.stalled(why);
  const std::string told = store_.why_aborted();
  end(told.empty() ? why : told);
}

/// Written at once and without locks: other threads may hold any of them, and never give them back.
void Watchdog::end(const std::string& why) {
  while (ending_.exchange(true)) ::pause();  // the other thread ends the process
  const CollectiveProgress progress = communicator_.progress();
  const std::string line =
      concat("rmoe: rank ", store_.rank(), ", step ", step_.load(), ": ", why, "; here ", progress.begun,
             " collectives begun, ", progress.finished, " finished, the last begun is ", progress.last, "\n");
  (void)!::write(STDERR_FILENO, line.data(), line.size());
  std::promise<void> aborted;
  auto done = aborted.get_future();
  std::thread([&] {
    communicator_.abort();
    aborted.set_value();
  }).detach();
  done.wait_for(kAbort);
  ::_exit(1);
}

}  // namespace rmoe
