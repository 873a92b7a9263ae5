// Several ranks started from a test, and what they wrote.
#pragma once

#include "data/temporary_folder.hpp"
#include "engine/comm/launch_ranks.hpp"
#include "engine/error.hpp"

#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sys/wait.h>
#include <unistd.h>

namespace rmoe::test {

struct Output {
  int code;
  std::string out, err;
  bool has(const std::string& part) const { return err.find(part) != err.npos; }
};

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void redirect(int fd, const std::filesystem::path& file) {
  ::dup2(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), fd);
}

/// launch_ranks() in a process of its own. That gets `signal`, if any, when rank 0 has written something.
inline Output run_ranks(int count, const std::vector<std::string>& command, int signal = 0) {
  const TemporaryFolder folder;
  const auto out = folder.path() / "out", err = folder.path() / "err";
  const pid_t pid = ::fork();
  RMOE_CHECK(pid >= 0, "no process");
  if (pid == 0) {
    redirect(STDOUT_FILENO, out);
    redirect(STDERR_FILENO, err);
    try {
      ::_exit(launch_ranks(count, command));
    } catch (const Error& error) {
      (void)!::write(STDERR_FILENO, error.what(), std::string(error.what()).size());
      ::_exit(1);
    }
  }
  if (signal) {
    while (content_of(out).empty() || content_of(err).empty()) ::usleep(10000);
    ::kill(pid, signal);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content_of(out), content_of(err)};
}

}  // namespace rmoe::test
