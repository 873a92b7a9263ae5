// A folder of its own for a test, removed at the end.
#pragma once

#include "data/temporary_folder.hpp"

#include <fstream>
#include <unistd.h>

namespace rmoe::test {

/// Where forcing files to disk costs nothing, if the system has such a place: for tests that do it often.
inline std::filesystem::path quick_place() {
  return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path();
}

class TestFolder : public TemporaryFolder {
 public:
  using TemporaryFolder::TemporaryFolder;

  std::filesystem::path operator/(const std::string& name) const { return path() / name; }

  /// Writes a file, making the folders it is in; returns its path.
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = *this / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }
};

}  // namespace rmoe::test
