#include "tests/process.hpp"

#include <atomic>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <signal.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

fs::path fresh(const char* what) {
  static std::atomic<int> count = 0;
  return fs::temp_directory_path() /
         ("rmoe-" + std::string(what) + "-" + std::to_string(getpid()) + "-" + std::to_string(count++));
}

void redirect(int fd, const fs::path& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(file, fd);
  close(file);
}

pid_t start(const fs::path& folder, const std::vector<std::string>& args, const fs::path& out,
            const fs::path& err) {
  std::vector<char*> argv{const_cast<char*>(RMOE_BINARY)};
  for (const std::string& a : args) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid > 0) return pid;
  redirect(STDOUT_FILENO, out);
  redirect(STDERR_FILENO, err);
  if (chdir(folder.c_str()) == 0) execv(RMOE_BINARY, argv.data());
  _exit(127);
}

}  // namespace

Process::Process(const fs::path& folder, const std::vector<std::string>& args)
    : out_(fresh("out")), err_(fresh("err")), pid_(start(folder, args, out_, err_)) {}

Process::~Process() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  fs::remove(out_);
  fs::remove(err_);
}

void Process::signal(int number) { kill(pid_, number); }

std::vector<pid_t> Process::children() const {
  const std::string task = "/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_);
  std::ifstream file(task + "/children");
  return {std::istream_iterator<pid_t>(file), {}};
}

std::string Process::printed() const { return read_text(out_); }

ProcessResult Process::wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, read_text(out_), read_text(err_)};
}

ProcessResult rmoe(const fs::path& folder, const std::vector<std::string>& args) {
  return Process(folder, args).wait();
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string read_text(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace rmoe::test
