#include "data/tokenizer/child_process.hpp"

#include "engine/error.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace rmoe {
namespace {

constexpr int kLookMs = 100;

class Pipe {
 public:
  Pipe() { RMOE_CHECK(pipe(ends_.data()) == 0, "cannot make a pipe: ", std::strerror(errno)); }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int end(int i) const { return ends_[i]; }
  void close_end(int i) {
    if (const int end = std::exchange(ends_[i], -1); end >= 0) ::close(end);
  }

 private:
  std::array<int, 2> ends_{-1, -1};  // to read from, to write to
};

/// A child that does not outlive its owner.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(1);
    bytes.remove_prefix(size_t(n));
  }
}

[[noreturn]] void be_child(const std::function<std::string()>& work, Pipe& result, Pipe& log) {
  // It ends as the system ends programs: the handlers of its parent would save, report or print.
  for (const int signal : {SIGINT, SIGTERM, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV})
    ::signal(signal, SIG_DFL);
  ::dup2(log.end(1), STDERR_FILENO);
  try {
    write_all(result.end(1), work());
    _exit(0);
  } catch (const std::exception& problem) {
    write_all(STDERR_FILENO, concat("\n", problem.what(), "\n"));
  }
  _exit(1);
}

/// Appends what has arrived; false at the end.
bool read_some(int fd, std::string& text) {
  std::array<char, 1 << 16> buffer;
  const ssize_t n = ::read(fd, buffer.data(), buffer.size());
  if (n > 0) text.append(buffer.data(), size_t(n));
  return n > 0 || (n < 0 && errno == EINTR);
}

/// Hands over the whole lines of `log` that say something, and keeps the unfinished one.
void hand_over(std::string& log, std::string& last, const std::function<void(const std::string&)>& on_line) {
  for (size_t end; (end = log.find('\n')) != log.npos; log.erase(0, end + 1)) {
    if (end == 0) continue;
    last = log.substr(0, end);
    on_line(last);
  }
}

}  // namespace

std::string run_in_child(const std::function<std::string()>& work,
                         const std::function<void(const std::string& line)>& on_line) {
  Pipe result, log;
  std::fflush(nullptr);  // or the child might print it once more
  const pid_t pid = ::fork();
  RMOE_CHECK(pid >= 0, "cannot start a process: ", std::strerror(errno));
  if (pid == 0) be_child(work, result, log);
  Child child(pid);
  result.close_end(1);
  log.close_end(1);
  std::string bytes, text, last;
  std::array<pollfd, 2> ends{{{result.end(0), POLLIN, 0}, {log.end(0), POLLIN, 0}}};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (::poll(ends.data(), ends.size(), kLookMs) < 0 && errno != EINTR)
      fail("cannot wait for a process: ", std::strerror(errno));
    if (ends[0].revents != 0 && !read_some(ends[0].fd, bytes)) ends[0].fd = -1;
    if (ends[1].revents != 0 && !read_some(ends[1].fd, text)) ends[1].fd = -1;
    hand_over(text, last, on_line);
    on_line("");
  }
  hand_over(text += '\n', last, on_line);  // it may have ended in the middle of a line
  const int status = child.wait();
  RMOE_CHECK(status == 0, last.empty() ? "a child process ended without a word" : last);
  return bytes;
}

}  // namespace rmoe
