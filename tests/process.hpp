// Running the real binary, as a user does.
#pragma once

#include "tests/folder.hpp"

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace rmoe::test {

struct ProcessResult {
  int code = 0;  // exit code, or 128 + signal
  std::string out, err;
};

/// Runs `rmoe args...` in `folder` and waits for it.
ProcessResult rmoe(const std::filesystem::path& folder, const std::vector<std::string>& args);

/// A running `rmoe`; killed with the object if it is still there.
class Process {
 public:
  Process(const std::filesystem::path& folder, const std::vector<std::string>& args);
  ~Process();
  Process(const Process&) = delete;
  void signal(int number);
  /// Processes it has started and that are still there, oldest first.
  std::vector<pid_t> children() const;
  /// What it has printed to standard output by now.
  std::string printed() const;
  /// Waits for the end; what it printed comes with the result.
  ProcessResult wait();

 private:
  std::filesystem::path out_, err_;
  pid_t pid_;
};

void write_text(const std::filesystem::path& path, const std::string& text);
std::string read_text(const std::filesystem::path& path);

}  // namespace rmoe::test
