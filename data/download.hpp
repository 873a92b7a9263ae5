// Downloading a file whose size and sha256 are known, such that it can be broken off at any time and taken up
// again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace rmoe {

/// How a long job tells what it does; either function may be empty.
struct Progress {
  std::function<void(const std::string& line)> say;
  std::function<void(const std::string& what, int64_t done, int64_t total)> bytes;
};

struct Download {
  std::vector<std::string> urls;  // the same file at several places, tried in order
  int64_t bytes;                  // 0: not known, the sum alone decides
  std::string sha256;
};

/// True if the file is there with this size (0: any) and sum.
bool is_intact(const std::filesystem::path& file, int64_t bytes, const std::string& sha256);

/// Brings `file` into being, or leaves it alone if it is intact. What has arrived waits in FILE.part, which
/// becomes FILE only after its size and sum are right.
void download(const Download& wanted, const std::filesystem::path& file, const Progress& progress);

}  // namespace rmoe
