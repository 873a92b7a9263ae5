// A folder of its own for a test, removed at the end.
#pragma once

#include "data/temporary_folder.hpp"

#include <fstream>

namespace rmoe::test {

class TestFolder : public TemporaryFolder {
 public:
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
