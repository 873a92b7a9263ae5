#include "train/signals.hpp"

#include <csignal>
#include <doctest/doctest.h>
#include <initializer_list>
#include <sys/wait.h>
#include <unistd.h>

namespace rmoe::test {
namespace {

/// How a child process ends that watches for these signals and sends them to itself: its exit code (1 if one
/// of them did not set the flag), or minus the signal that killed it.
int end_after(std::initializer_list<int> signals) {
  const pid_t child = fork();
  if (child == 0) {
    watch_stop_signals();
    if (stop_requested()) _exit(2);
    for (const int signal : signals) {
      raise(signal);
      if (!stop_requested()) _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("signals: the first one asks, a second SIGINT kills") {
  CHECK(end_after({SIGINT}) == 0);
  CHECK(end_after({SIGTERM, SIGTERM}) == 0);
  CHECK(end_after({SIGTERM, SIGINT}) == 0);
  CHECK(end_after({SIGINT, SIGINT}) == -SIGINT);
}

}  // namespace rmoe::test
