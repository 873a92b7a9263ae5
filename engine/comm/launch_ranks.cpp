#include "engine/comm/launch_ranks.hpp"

#include "engine/comm/connection.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace rmoe {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kGrace = std::chrono::seconds(5);  // the others say what they know and end, or are killed
constexpr int kLookMs = 200;

const std::vector<int> kPassedOn{SIGINT, SIGTERM, SIGUSR1};

/// Signals come as something to read instead of interrupting; as before when this goes away.
class Signals {
 public:
  Signals() {
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int number : kPassedOn) sigaddset(&wanted, number);
    sigaddset(&wanted, SIGCHLD);
    sigprocmask(SIG_BLOCK, &wanted, &before_);
    events_ = Descriptor(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~Signals() { restore(); }
  Signals(const Signals&) = delete;

  void restore() const { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  int fd() const { return events_.get(); }
  /// 0: none has come.
  int next() {
    signalfd_siginfo info{};
    return ::read(fd(), &info, sizeof info) == ssize_t(sizeof info) ? int(info.ssi_signo) : 0;
  }

 private:
  sigset_t before_;
  Descriptor events_;
};

struct Rank {
  pid_t pid = -1;  // -1: has ended
  Descriptor output;
  std::string line;  // begun
};

void write_all(const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(STDERR_FILENO, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) return;
    done += size_t(std::max<ssize_t>(n, 0));
  }
}

class Ranks {
 public:
  Ranks(int count, const std::vector<std::string>& command);
  int run();

 private:
  void start(int rank, const std::vector<std::string>& command);
  [[noreturn]] void become(int rank, const std::vector<std::string>& command, const Descriptor& output);
  bool pass_on(int rank);
  void look();
  void collect();
  void ended(int rank, int status);
  void kill_all(int signal);
  void kill_remaining();
  bool any_left() const {
    return std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.pid > 0; });
  }

  Signals signals_;
  const pid_t parent_ = ::getpid();
  const int port_ = free_port();
  const std::string run_id_;
  std::vector<Rank> ranks_;
  bool interrupted_ = false;
  int code_ = 0;
  Clock::time_point patience_ends_ = Clock::time_point::max();
};

Ranks::Ranks(int count, const std::vector<std::string>& command)
    : run_id_(concat("nproc-", ::getpid(), "-", Clock::now().time_since_epoch().count())),
      ranks_(size_t(count)) {
  for (int rank = 0; rank < count; ++rank) start(rank, command);
}

void Ranks::start(int rank, const std::vector<std::string>& command) {
  int ends[2];
  RMOE_CHECK(::pipe2(ends, O_CLOEXEC) == 0, "--nproc: no pipe: ", std::strerror(errno));
  ranks_[size_t(rank)].output = Descriptor(ends[0]);
  const Descriptor output(ends[1]);
  const pid_t pid = ::fork();
  RMOE_CHECK(pid >= 0, "--nproc: no process: ", std::strerror(errno));
  if (pid == 0) become(rank, command, output);
  ::setpgid(pid, pid);  // here too: whoever is first
  ranks_[size_t(rank)].pid = pid;
}

/// In a process group of its own: Ctrl-C reaches this program only, which passes it on once.
void Ranks::become(int rank, const std::vector<std::string>& command, const Descriptor& output) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent_) ::_exit(1);
  signals_.restore();
  const std::string size = std::to_string(ranks_.size()), number = std::to_string(rank);
  const int threads = std::max(1, int(std::thread::hardware_concurrency() / ranks_.size()));
  for (const auto& [name, value] : Environment{{"RANK", number},
                                               {"LOCAL_RANK", number},
                                               {"WORLD_SIZE", size},
                                               {"LOCAL_WORLD_SIZE", size},
                                               {"MASTER_ADDR", "127.0.0.1"},
                                               {"MASTER_PORT", std::to_string(port_)},
                                               {"RMOE_LAUNCHER", "nproc"},
                                               {"RMOE_RUN_ID", run_id_}})
    ::setenv(name.c_str(), value.c_str(), 1);
  ::setenv("OMP_NUM_THREADS", std::to_string(threads).c_str(), 0);  // unless the user has chosen
  ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
  if (rank > 0) {
    ::dup2(output.get(), STDOUT_FILENO);
    ::dup2(output.get(), STDERR_FILENO);
  }
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  write_all(concat("rmoe: cannot start ", command[0], ": ", std::strerror(errno), "\n"));
  ::_exit(127);
}

/// Writes the whole lines that a rank has written; false at the end.
bool Ranks::pass_on(int rank) {
  Rank& r = ranks_[size_t(rank)];
  char buffer[1 << 16];
  const ssize_t n = ::read(r.output.get(), buffer, sizeof buffer);
  if (n < 0 && errno == EINTR) return true;
  if (n > 0) r.line.append(buffer, size_t(n));
  if (n <= 0 && !r.line.empty()) r.line += '\n';
  for (size_t end; (end = r.line.find('\n')) != r.line.npos; r.line.erase(0, end + 1))
    write_all(concat("[rank ", rank, "] ", r.line.substr(0, end + 1)));
  return n > 0;
}

void Ranks::look() {
  std::vector<pollfd> events{{signals_.fd(), POLLIN, 0}};
  std::vector<int> of;
  for (int rank = 0; rank < int(ranks_.size()); ++rank)
    if (ranks_[size_t(rank)].output.get() >= 0) {
      events.push_back({ranks_[size_t(rank)].output.get(), POLLIN, 0});
      of.push_back(rank);
    }
  ::poll(events.data(), events.size(), kLookMs);
  for (size_t i = 0; i < of.size(); ++i)
    if (events[i + 1].revents && !pass_on(of[i])) ranks_[size_t(of[i])].output = Descriptor();
  while (const int signal = signals_.next()) {
    if (signal == SIGCHLD) continue;
    interrupted_ |= signal != SIGUSR1;
    kill_all(signal);
  }
}

void Ranks::collect() {
  for (int rank = 0; rank < int(ranks_.size()); ++rank) {
    int status = 0;
    pid_t& pid = ranks_[size_t(rank)].pid;
    if (pid <= 0 || ::waitpid(pid, &status, WNOHANG) != pid) continue;
    pid = -1;
    ended(rank, status);
  }
}

/// A rank that stopped because it was asked to has not failed.
void Ranks::ended(int rank, int status) {
  const bool killed = WIFSIGNALED(status);
  const int code = killed ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  if (code == 0 || code_ != 0) return;
  if (code == kInterruptedRanks || interrupted_) {
    interrupted_ = true;
    return;
  }
  code_ = code;
  patience_ends_ = Clock::now() + kGrace;
  write_all(concat("rmoe: rank ", rank, killed ? " was killed by signal " : " ended with exit code ",
                   killed ? WTERMSIG(status) : code,
                   killed ? concat(" (", strsignal(WTERMSIG(status)), ")") : "",
                   any_left() ? "; the others are ended\n" : "\n"));
}

void Ranks::kill_all(int signal) {
  for (const Rank& rank : ranks_)
    if (rank.pid > 0) ::kill(-rank.pid, signal);
}

void Ranks::kill_remaining() {
  for (int rank = 0; rank < int(ranks_.size()); ++rank)
    if (ranks_[size_t(rank)].pid > 0) write_all(concat("rmoe: rank ", rank, " did not end and is killed\n"));
  kill_all(SIGKILL);
  patience_ends_ = Clock::time_point::max();
}

int Ranks::run() {
  while (any_left()) {
    look();
    collect();
    if (Clock::now() > patience_ends_) kill_remaining();
  }
  for (int rank = 1; rank < int(ranks_.size()); ++rank)
    while (ranks_[size_t(rank)].output.get() >= 0 && pass_on(rank)) continue;
  return code_ == 0 && interrupted_ ? kInterruptedRanks : code_;
}

}  // namespace

std::vector<std::string> own_command() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string all(std::istreambuf_iterator<char>(file), {});
  std::vector<std::string> command;
  for (size_t begin = 0, end; (end = all.find('\0', begin)) != all.npos; begin = end + 1)
    command.push_back(all.substr(begin, end - begin));
  RMOE_CHECK(!command.empty(), "--nproc: /proc/self/cmdline cannot be read");
  command[0] = "/proc/self/exe";
  return command;
}

bool started_by_launch_ranks(const Environment& environment) { return environment.contains("RMOE_LAUNCHER"); }

int launch_ranks(int count, const std::vector<std::string>& command) {
  RMOE_CHECK(count > 0, "--nproc: ", count, " ranks wanted, at least 1");
  const Launch outer = launch_from_environment(process_environment());
  RMOE_CHECK(outer.size == 1, "--nproc: this process already is one of several: ", outer.text(),
             "; leave out --nproc");
  return Ranks(count, command).run();
}

}  // namespace rmoe
